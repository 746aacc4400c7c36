"""Learning rates and batch sizes follow their formulas."""

import numpy as np
import pytest

from transferkit._training.network.schedules import BatchSizes, LearningRates


def rates(schedule, n_epochs=20, n_steps=1, **options):
    schedule = LearningRates(2.0, schedule, max_epochs=n_epochs, **options)
    return np.concatenate([schedule.of_epoch(epoch, n_steps) for epoch in range(n_epochs)])


def test_rates_follow_their_formulas():
    time = np.arange(20)
    np.testing.assert_allclose(rates("constant"), 2.0)
    np.testing.assert_allclose(rates("step", decay=0.1, decay_epochs=5), 2 * 0.1 ** (time // 5))
    np.testing.assert_allclose(rates("exponential", decay=0.1, decay_epochs=5), 2 * 0.1 ** (time / 5))
    np.testing.assert_allclose(rates("inverse", decay=0.5, decay_epochs=5), 2 / (1 + time / 5))
    np.testing.assert_allclose(rates("inverse", decay=0.25, decay_epochs=5)[5], 0.5)
    np.testing.assert_allclose(rates("cosine"), 1 + np.cos(np.pi * time / 20))


def test_one_cycle_rises_and_falls():
    found = rates("one_cycle", n_steps=10)
    assert found.argmax() == 60  # three tenths of the way
    np.testing.assert_allclose(found.max(), 2.0)
    np.testing.assert_allclose(found[0], 2 / 25)
    assert found[-1] < 0.01
    assert (np.diff(found[:61]) > 0).all()
    assert (np.diff(found[60:]) < 0).all()


def test_callable_gets_the_number_of_the_step():
    np.testing.assert_allclose(rates(lambda step: 1 / (1 + step), 3, 2), 2 / (1 + np.arange(6)))


def test_warmup_rises_in_a_line():
    np.testing.assert_allclose(rates("constant", 3, 2, warmup=2)[:4], [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(rates("constant", 3, 4, warmup=0.5)[:3], [1.0, 2.0, 2.0])


def test_plateau_waits_for_its_epochs():
    schedule = LearningRates(1.0, "plateau", max_epochs=20, decay=0.1, decay_epochs=2)
    found = []
    for epoch, loss in enumerate([3, 2, 2, 2, 1, 1, 1, 1]):
        found.append(schedule.of_epoch(epoch, 1)[0])
        schedule.observe(loss)
    np.testing.assert_allclose(found, [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(
    ("schedule", "epochs", "expected"),
    [
        ("constant", 2, [8, 8, 8, 8, 8, 8]),
        ("grow", 2, [8, 8, 16, 16, 20, 20]),
        ("grow", [1, 3], [8, 16, 16, 20, 20, 20]),
        ("decay", 1, [8, 4, 2, 1, 1, 1]),
        (lambda epoch: 3 * epoch + 1, 1, [1, 4, 7, 10, 13, 16]),
    ],
)
def test_batch_sizes(schedule, epochs, expected):
    sizes = BatchSizes(8, 20, schedule, epochs)
    assert [sizes.of_epoch(epoch) for epoch in range(6)] == expected


def test_batch_size_grows_when_the_loss_stalls():
    sizes, found = BatchSizes(8, 100, "grow", "stall"), []
    for epoch, loss in enumerate([5, 4, 4, 4, 4, 3, 2]):
        found.append(sizes.of_epoch(epoch))
        sizes.observe(loss)
    assert found == [8, 8, 8, 8, 8, 16, 16]
