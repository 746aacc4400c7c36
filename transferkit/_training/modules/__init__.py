"""Torch modules of users, which `TorchEncoder` uses as they are.

- `features`: A copy of a module in evaluation mode, and the features that one of its layers computes; these features as
  the first layer of a network, to be fine-tuned with a head. Modules and exported programs (`torch.export`) are
  accepted.
- `state`: A module as plain data (arrays, class names, plain attributes) for model files, and back without running
  its code; and a form that pickles without regard to the device.
"""
