"""Runs of lode in directories, for the programs in bench/ that make many: finished ones are passed over,
broken ones go on where they were, and the CPU seconds of all attempts are added up in DIR/cpu.json."""
import json
import os
import subprocess


def read_json(*path):
    """What the file holds; nothing if there is no such file."""
    try:
        with open(os.path.join(*path)) as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def finished(run):
    """Whether a search is done, or the network of a training written."""
    return (read_json(run, "run.json").get("status") == "done"
            or os.path.exists(os.path.join(run, "weights.safetensors")))


def options(pairs):
    """--set for each of KEY=VALUE."""
    return [word for pair in pairs for word in ("--set", pair)]


def start(command, run, nice=0, cwd=None):
    """Begins or resumes the run: command without -o and --resume. Messages go to RUN.log, what the
    command prints (nothing but the result with --json) to RUN.out."""
    begun = any(os.path.exists(os.path.join(run, name)) for name in ("run.json", "checkpoint"))
    os.makedirs(run, exist_ok=True)
    with open(run.rstrip("/") + ".log", "a") as log, open(run.rstrip("/") + ".out", "w") as out:
        return subprocess.Popen([*command, "-o", run, *(["--resume"] if begun else [])], stdout=out,
                                stderr=log, cwd=cwd, preexec_fn=lambda: os.nice(nice))


def complete(command, run, nice=0, cwd=None):
    """Runs to the end what has not finished yet. Whether there was anything to do."""
    if finished(run):
        return False
    p = start(command, run, nice, cwd)
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    seconds = cpu_seconds(run) + usage.ru_utime + usage.ru_stime
    with open(os.path.join(run, "cpu.json"), "w") as f:
        json.dump({"seconds": round(seconds, 1)}, f)
    if p.returncode != 0:
        raise RuntimeError(f"{run}: exit code {p.returncode}, see {run}.log")
    return True


def cpu_seconds(run):
    return read_json(run, "cpu.json").get("seconds", 0)


def found(run):
    """Code of the only network that a search has found."""
    names = os.listdir(os.path.join(run, "subnets"))
    return read_json(run, "subnets", names[0], "result.json")["arch"]["code"]
