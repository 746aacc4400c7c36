"""Time and memory of calls; rivals in turns, so that a change of the machine's speed affects all of them alike."""

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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


def time_both(makers, runs, limit=20.0):
    """Time makers in turns, by the clock and by the processor.

    Parameters
    ----------
    makers : dict of str to function without arguments
        The rivals by name, warmed up.
    runs : int
        Number of turns.
    limit : float
        Seconds after which a maker has no more turns.

    Returns
    -------
    dict
        "seconds" and "processor_seconds" (of this process, not of others that it starts), medians, and "runs", each by
        name.
    dict
        The last result of each maker.
    """
    clock, processor, found = {name: [] for name in makers}, {name: [] for name in makers}, {}
    for _ in range(runs):
        for name, make in makers.items():
            if sum(clock[name]) < limit:
                began_clock, began = time.perf_counter(), time.process_time()
                found[name] = make()
                processor[name].append(time.process_time() - began)
                clock[name].append(time.perf_counter() - began_clock)
    medians = [{name: statistics.median(times) for name, times in kind.items()} for kind in (clock, processor)]
    n_runs = {name: len(times) for name, times in clock.items()}
    return {"seconds": medians[0], "processor_seconds": medians[1], "runs": n_runs}, found


def measure_in_process(script, words, n_threads):
    """Return the JSON data that a script prints as its last line, run in a process with so many threads.

    With more than one, nothing limits the threads: the processes that joblib starts would each use as many as a limit
    allows, and without one share the cores.
    """
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    environment |= dict.fromkeys(THREADS, "1") if n_threads == 1 else {}
    command = [sys.executable, script, *map(str, words), "--threads", str(n_threads)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def forget_peak():
    """Reset the peak of `peak_mb`, to which reading the input and the parent process may have contributed."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb():
    """Return the largest resident size of this process so far, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
