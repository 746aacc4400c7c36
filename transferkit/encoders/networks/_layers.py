"""Layers of encoders, run in NumPy, and handed to the training engine and back."""

import numpy as np

from transferkit._algorithms.linalg.normalisation import unit_rows
from transferkit._algorithms.networks.predictions import apply_activation
from transferkit._algorithms.rows.convolutions import convolve, enlarge
from transferkit.encoders.networks._fine_tuning import (
    ActivationLayer,
    ConvolutionLayer,
    EnlargingLayer,
    LinearLayer,
    ModuleLayer,
    UnitRowsLayer,
)


def run_layers(layers, rows):
    """Return the output of the layers, (n_rows, n_outputs), float32; the rows stay as they are."""
    for layer in layers:
        rows = _run(layer, rows)
    return np.asarray(rows, dtype=np.float32)


def to_stages(layers, group):
    """Return the stages of the training engine that the layers stand for, all in one group."""
    return [_to_stage(layer, group) for layer in layers]


def take_over(layers, stages):
    """Return the layers with the arrays of trained stages."""
    return [_take_over(layer, stage) for layer, stage in zip(layers, stages, strict=True)]


def _run(layer, rows):
    if isinstance(layer, LinearLayer):
        product = rows @ layer.weights
        return product if layer.intercept is None else np.add(product, layer.intercept, out=product)
    if isinstance(layer, ActivationLayer):
        return apply_activation(rows, layer.name)
    if isinstance(layer, ConvolutionLayer):
        return convolve(rows, *layer)
    if isinstance(layer, EnlargingLayer):
        return enlarge(rows, *layer)
    if isinstance(layer, ModuleLayer):
        from transferkit._training.modules.features import ModuleFeatures

        features = ModuleFeatures(layer.module, layer.output, layer.batch_size, layer.device)
        return features.compute(rows.reshape(len(rows), *layer.input_shape))
    return unit_rows(rows)


def _to_stage(layer, group):
    from transferkit._training.network import stages

    if isinstance(layer, LinearLayer):
        return stages.Linear(*layer, group)
    if isinstance(layer, ActivationLayer):
        return stages.Activate(layer.name)
    if isinstance(layer, ConvolutionLayer):
        return stages.Convolve(*layer, group)
    if isinstance(layer, EnlargingLayer):
        return stages.Enlarge(*layer)
    if isinstance(layer, ModuleLayer):
        return stages.RunModule(layer.module, layer.output, layer.input_shape, layer.batch_size, group)
    assert isinstance(layer, UnitRowsLayer)
    return stages.NormaliseRows()


def _take_over(layer, stage):
    if isinstance(layer, (LinearLayer, ConvolutionLayer)):
        return layer._replace(weights=stage.weights, intercept=stage.intercept)
    return layer._replace(module=stage.module) if isinstance(layer, ModuleLayer) else layer
