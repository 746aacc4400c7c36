"""Time and memory of calls; rivals in turns, so that a change of the machine's speed affects all of them alike."""

import gc
import statistics
import time
from pathlib import Path


def timed(function):
    """Return the result of a function without arguments, and the seconds that it took."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def alternate(makers, repeats):
    """Yield the name, the result and the seconds of each call, all makers in turns."""
    for _ in range(repeats):
        for name, make in makers.items():
            yield name, *timed(make)


def time_alternating(makers, repeats):
    """Return the median seconds and the last result of each maker, called in turns.

    Parameters
    ----------
    makers : dict of str to function without arguments
        The rivals by name.
    repeats : int
        Number of turns.
    """
    seconds, results = {name: [] for name in makers}, {}
    for name, result, taken in alternate(makers, repeats):
        results[name] = result
        seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}, results


def median_milliseconds(makers, repeats, calls=1):
    """Return the median milliseconds of each maker, called in turns, each turn `calls` times in a row."""

    def repeated(make):
        return lambda: statistics.median(timed(make)[1] for _ in range(calls))

    milliseconds = {name: [] for name in makers}
    for name, taken, _ in alternate({name: repeated(make) for name, make in makers.items()}, repeats):
        milliseconds[name].append(1000 * taken)
    return {name: round(statistics.median(values), 3) for name, values in milliseconds.items()}


def forget_peak():
    """Reset the peak of `peak_mb`, to which reading the input and the parent process may have contributed."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb():
    """Return the largest resident size of this process so far, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
