"""Whether texts are counted by NumPy or on a device."""


def choose_text_device(device, is_required):
    """Return the torch device that a `device` parameter of a text encoder names, or None for NumPy.

    Parameters
    ----------
    device : str or None
        None and, where torch sees no GPU, "auto" stand for NumPy.
    is_required : bool
        Whether a device that is not there is an error, as in `fit`. If not, as in `transform`, NumPy steps in:
        it gives the same, so a model made on a GPU machine serves on one that lacks the GPU, or torch.

    Returns
    -------
    device : torch.device or None
        The device.
    """
    if device is None:
        return None
    try:
        from transferkit._training.device import choose_device

        chosen = choose_device(device)
    except (ImportError, ValueError):
        if is_required and device != "auto":
            raise
        return None
    return None if device == "auto" and chosen.type == "cpu" else chosen
