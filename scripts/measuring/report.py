"""The figures as Markdown."""

import datetime
import os
import platform
import shutil
import statistics
import subprocess

from measuring.process import table

MIB = 1024 * 1024


class Report:
    """What is printed at the end. `ours` and `theirs` are the commands that the figures of the two are kept under."""

    def __init__(self, bench, ours, theirs):
        self.bench = bench
        self.ours = ours
        self.theirs = theirs

    def text(self):
        parts = self.conditions(), self.figures(), self.sizes(), self.requests()
        return "\n\n".join("\n".join(part) for part in parts)

    def conditions(self):
        bench = self.bench
        memory = int(table("/proc/meminfo")["MemTotal"].split()[0]) // 1024
        model = table("/proc/cpuinfo").get("model name", platform.machine())
        yield f"- {datetime.date.today()}, {bench.extent.repeat} repetitions, order alternating"
        yield f"- {os.cpu_count()} cores ({model}), {memory} MiB of memory, Linux {platform.release()}"
        worker, prefect, python = ([path, "--version"] for path in (bench.worker, bench.prefect, bench.python))
        yield f"- {output(worker)}; Prefect {output(prefect)} on {output(python)}; the server with SQLite, on the same machine"
        yield f"- load average while measuring: {min(bench.loads):.2f} – {max(bench.loads):.2f}"

    def figures(self):
        rows = [
            ("exec to first poll, s", "first poll", 3),
            ("requests before the first poll", "requests at the start", 0),
            (f"resident memory {self.bench.extent.settle} s after exec, MiB", "rss", 1),
            ("– of it anonymous (its own), MiB", "anonymous", 1),
            ("– of it file-backed (program, libraries), MiB", "file", 1),
            ("– pages that others share counted in part (PSS), MiB", "pss", 1),
            ("threads", "threads", 0),
            ("processor time per idle minute, ms", "processor", 0),
            ("requests per idle minute", "requests", 0),
            ("connections opened per idle minute", "connections", 0),
            ("websocket frames sent per idle minute", "frames", 0),
        ]
        for interval in self.bench.intervals:
            rows.append((f"run created to process started, s; polls every {interval} s", f"created, {interval} s", 2))
            rows.append((f"– of it since the poll that brought it, ms; every {interval} s", f"polled, {interval} s", 0))
        yield f"| median (min – max) | `{self.ours}` | `{self.theirs}` | ratio |"
        yield "|---|---|---|---|"
        for label, figure, digits in rows:
            if samples := self.bench.samples.get(figure):
                sides = samples[self.ours], samples[self.theirs]
                cells = [spread(sum(side, []), digits) for side in sides]
                yield f"| {label} | {' | '.join(cells)} | {ratios(*sides)} |"

    def sizes(self):
        worker, python = self.bench.worker, self.bench.python
        yield "| size | MiB |"
        yield "|---|---|"
        yield f"| `{self.ours}`: the program as built | {worker.stat().st_size / MIB:.1f} |"
        if shutil.which("strip"):
            stripped = worker.with_name("stripped")
            subprocess.check_call(["strip", "-o", stripped, worker])
            yield f"| `{self.ours}`: the program stripped | {stripped.stat().st_size / MIB:.1f} |"
        files = (path.stat().st_size for path in python.parent.parent.rglob("*") if path.is_file() and not path.is_symlink())
        yield f"| `{self.theirs}`: its Python environment, without the interpreter | {sum(files) / MIB:.1f} |"

    def requests(self):
        sides = [self.bench.asked[name] for name in (self.ours, self.theirs)]
        yield f"| requests per idle minute, mean | `{self.ours}` | `{self.theirs}` |"
        yield "|---|---|---|"
        for kind in sorted({kind for side in sides for minute in side for kind in minute}):
            means = (statistics.mean(minute.get(kind, 0) for minute in side) for side in sides)
            yield f"| `{kind}` | {' | '.join(f'{mean:.1f}' for mean in means)} |"


def spread(values, digits):
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} – {high})"


def ratios(ours, theirs):
    """Ours to theirs, repetition by repetition: a machine that gets slower meanwhile slows both sides."""
    pairs = [(statistics.median(one), statistics.median(other)) for one, other in zip(ours, theirs)]
    if any(other == 0 for _, other in pairs):
        return ""
    return spread([one / other for one, other in pairs], 2)


def output(command):
    return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
