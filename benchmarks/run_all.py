"""Run every benchmark, stamp its results with machine, versions and commit, and regenerate tables and pictures.

Run ``python benchmarks/run_all.py DATA [--quick] [--only text heads ...]``; DATA is the folder of data sets (see
datasets/). A quick run needs no data sets, takes minutes, shows that the scripts work, and writes to ``results/quick``,
which is not under version control. A full run takes hours; a script that is interrupted keeps its finished results. A
benchmark whose data are missing is left out, and one that fails does not stop the others; both are listed at the end.
Rivals are installed by ``pip install "transferkit[bench]"``; if one is missing, its cells are empty.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from results import RESULTS, describe_machine, read_results, write_results

HERE = Path(__file__).parent
NEWS, WIKI = "20newsgroups", "wiki_en_sample"

# name -> the runs of a full benchmark, those of a quick one, and the data that a full one needs. DATA is replaced by
# the folder of data sets, OUT by the file of results.
BENCHMARKS = {
    "encode_once": ([["--output", "OUT"]], [["--output", "OUT"]], []),
    "text": ([["DATA", "--output", "OUT"]], [["--quick", "--runs", "1", "--output", "OUT"]], [NEWS]),
    "heads": ([["DATA", "--output", "OUT"]], [["--quick", "--runs", "1", "--output", "OUT"]], ["mr", NEWS]),
    "searches": ([["DATA", "--output", "OUT"]], [["--quick", "--runs", "1", "--output", "OUT"]], [NEWS]),
    "training": (
        [["--data", f"DATA/{NEWS}", "--output", "OUT"]],
        [["--cases", "linear-1024", "--repeats", "1", "--output", "OUT"]],
        [NEWS],
    ),
    "unsupervised": ([["--output", "OUT"]], [["--cases", "som", "--output", "OUT"]], []),
    "word_vectors": (
        [["--data", "DATA", "--output", "OUT"]],
        [["--kinds", "factorised", "--output", "OUT"]],
        [WIKI],
    ),
    "serving": (
        [[f"DATA/{NEWS}", "--output", "OUT"], [f"DATA/{NEWS}", "--load-test", "60", "--output", "OUT"]],
        [["--output", "OUT"], ["--load-test", "5", "--output", "OUT"]],
        [NEWS],
    ),
    "first_answers": (
        [[f"DATA/{NEWS}", "--output", "OUT"]],
        [["--runs", "1", "--output", "OUT"]],
        [NEWS],
    ),
    "few_labels": (
        [["DATA", "--output", "OUT"]],
        [["--runs", "1", "--output", "OUT"]],
        [WIKI, NEWS, "ag_news_subset", "trec", "banking77"],
    ),
    "mteb": (
        [["DATA", "--output", "OUT"]],
        [["--columns", "TF-IDF", "english", "--output", "OUT"]],
        [WIKI, NEWS, "ag_news_subset", "sst2", "trec", "mr", "mpqa", "banking77"],
    ),
    "busy": ([["--output", "OUT"]], [["--quick", "--runs", "1", "--output", "OUT"]], []),
    "shared_vectors": (
        [["--output", "OUT"]],
        [["--words", "20000", "--components", "50", "--processes", "2", "--output", "OUT"]],
        [],
    ),
    "selection": ([["DATA", "--output", "OUT"]], [["--quick", "--output", "OUT"]], [WIKI, "sst2", "trec"]),
    "adaptation": (
        [["DATA", "--fresh", "--output", "OUT"]],
        [["--quick", "--fresh", "--output", "OUT"]],
        ["amazon_reviews", "amazon_reviews_bow", NEWS],
    ),
    "scale": ([["DATA", "--output", "OUT"]], [["--quick", "--output", "OUT"]], [WIKI]),
    "transfer": (
        [["DATA", "--output", "OUT"]],
        [["--quick", "--labels", "8", "--columns", "scikit-learn", "auto", "--output", "OUT"]],
        [WIKI, "sst2", "trec", "ag_news_subset", "mr", "mpqa", NEWS, "banking77"],
    ),
    "evidence": (
        [["DATA", "--output", "OUT"]],
        [["--labels", "8", "--draws", "1", "--output", "OUT"]],
        [WIKI, "ag_news_subset", "sst2", "trec", "mr", "mpqa", NEWS, "banking77"],
    ),
    "new_classes": (
        [["DATA", "--output", "OUT"]],
        [["--draws", "1", "--output", "OUT"]],
        [WIKI, "ag_news_subset", "trec", NEWS, "banking77"],
    ),
    "suggest": (
        [["DATA", "--output", "OUT"]],
        [["--draws", "1", "--output", "OUT"]],
        [WIKI, "ag_news_subset", "sst2", "trec", "mr", "mpqa", NEWS, "banking77"],
    ),
    "rejection": (
        [["DATA", "--output", "OUT"]],
        [["--labels", "8", "--draws", "1", "--output", "OUT"]],
        [WIKI, "banking77", NEWS, "ag_news_subset", "sst2", "trec", "mr", "mpqa"],
    ),
    "fuzz": ([["--output", "OUT"]], [["--cases", "300", "--output", "OUT"]], []),
}


def run(name, data, quick):
    """Run one benchmark; return None, or the reason why it has no results."""
    full_runs, quick_runs, needed = BENCHMARKS[name]
    runs = quick_runs if quick else full_runs
    missing = [] if quick else [folder for folder in needed if data is None or not (data / folder).is_dir()]
    if missing:
        return f"needs {' and '.join(missing)} in the folder of data"
    output = (RESULTS / "quick" if quick else RESULTS) / f"bench_{name}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    commands, began = [], time.perf_counter()
    for words in runs:
        words = [word.replace("DATA", str(data)).replace("OUT", str(output)) for word in words]
        commands.append(" ".join(["python", f"benchmarks/bench_{name}.py", *words]).replace(str(data), "DATA"))
        print(f"\n$ {commands[-1]}", flush=True)
        if subprocess.run([sys.executable, HERE / f"bench_{name}.py", *words], check=False).returncode:
            return f"failed: {commands[-1]}"
    stamp(output, commands, time.perf_counter() - began)
    return None


def stamp(path, commands, seconds):
    """Add commands, time and machine to a file of results."""
    results = read_results(path)
    commands = [command.replace(str(path), path.name) for command in commands]
    scripts = {command.split()[1] for command in commands}
    others = [c for c in results.get("run", {}).get("commands", ()) if c.split()[1] not in scripts]
    results["run"] = {
        "commands": [*others, *commands],
        "seconds": round(seconds, 1),
        "finished": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        **describe_machine(),
    }
    write_results(path, results)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="folder of the data sets")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=[*BENCHMARKS], default=[*BENCHMARKS])
    arguments = parser.parse_args()
    left_out = {name: why for name in arguments.only if (why := run(name, arguments.data, arguments.quick))}
    if not arguments.quick:
        subprocess.run([sys.executable, HERE / "make_tables.py"], check=True)
    print(f"\n{len(arguments.only) - len(left_out)} of {len(arguments.only)} benchmarks ran.")
    for name, why in left_out.items():
        print(f"  {name}: {why}")
    sys.exit(any(why.startswith("failed") for why in left_out.values()))


if __name__ == "__main__":
    main()
