"""The figures as Markdown."""

class Report:
    """The figures as Markdown."""

    def __init__(self, bench, load_before, load_after):
        self.bench = bench
        self.extent = bench.extent
        self.loads = f"{load_before:.2f} before, {load_after:.2f} after"

    def text(self):
        return "\n".join([*self.conditions(), "", *self.figures(), "", *self.sizes(), "", *self.requests()])

    def conditions(self):
        memory = int(kernel_table("/proc/meminfo")["MemTotal"].split()[0]) // 1024
        model = kernel_table("/proc/cpuinfo").get("model name", platform.machine())
        return [
            f"- {datetime.date.today()}, {self.extent.repeat} repetitions, order alternating",
            f"- {os.cpu_count()} cores ({model}), {memory} MiB of memory, Linux {platform.release()}",
            f"- {output([self.bench.worker, '--version'])}, Prefect {output([self.bench.prefect(), '--version'])}, "
            f"{output([self.bench.python, '--version'])}; server with SQLite on the same machine",
            f"- load average: {self.loads}",
        ]

    def figures(self):
        settle = f"{self.extent.settle} s after the start"
        rows = [
            ("exec to first poll, s", "first poll", 3),
            (f"resident memory {settle}, MiB", "rss", 1),
            ("— of it anonymous (its own), MiB", "anonymous", 1),
            ("— of it file-backed (program, libraries), MiB", "file", 1),
            ("— with shared pages counted in part (PSS), MiB", "pss", 1),
            (f"threads {settle}", "threads", 0),
            ("processor time per idle minute, ms", "cpu", 0),
            ("requests per idle minute", "requests", 0),
            ("connections opened per idle minute", "connections", 0),
            ("websocket frames sent per idle minute", "frames", 0),
            (f"run created to process started, s, polls each {DEFAULT_INTERVAL} s", f"created, {DEFAULT_INTERVAL} s", 2),
            (f"run created to process started, s, polls each {SHORT_INTERVAL} s", f"created, {SHORT_INTERVAL} s", 2),
            (f"poll to process started, ms, polls each {DEFAULT_INTERVAL} s", f"polled, {DEFAULT_INTERVAL} s", 0),
            (f"poll to process started, ms, polls each {SHORT_INTERVAL} s", f"polled, {SHORT_INTERVAL} s", 0),
        ]
        yield f"| median (min – max) | `{OURS}` | `{THEIRS}` | ratio |"
        yield "|---|---|---|---|"
        for label, figure, digits in rows:
            if samples := self.bench.samples.get(figure):
                ours, theirs = samples[OURS], samples[THEIRS]
                yield f"| {label} | {spread(sum(ours, []), digits)} | {spread(sum(theirs, []), digits)} | {ratios(ours, theirs)} |"

    def sizes(self):
        yield "| size | MiB |"
        yield "|---|---|"
        yield f"| `{OURS}`: the program as built | {self.bench.worker.stat().st_size / MIB:.1f} |"
        if shutil.which("strip"):
            stripped = self.bench.home / "stripped"
            subprocess.check_call(["strip", "-o", stripped, self.bench.worker])
            yield f"| `{OURS}`: stripped | {stripped.stat().st_size / MIB:.1f} |"
        environment = self.bench.python.parent.parent
        files = (path.lstat().st_size for path in environment.rglob("*") if path.is_file() and not path.is_symlink())
        yield f"| `{THEIRS}`: its Python environment without the interpreter | {sum(files) / MIB:.1f} |"

    def requests(self):
        means = {
            name: {kind: statistics.mean(minute.get(kind, 0) for minute in minutes) for kind in set().union(*minutes)}
            for name, minutes in self.bench.asked.items()
        }
        yield f"| requests per idle minute, mean | `{OURS}` | `{THEIRS}` |"
        yield "|---|---|---|"
        for kind in sorted(set().union(*means.values())):
            yield f"| `{kind}` | {means[OURS].get(kind, 0):.1f} | {means[THEIRS].get(kind, 0):.1f} |"


def spread(values, digits):
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low} – {high})"


def ratios(ours, theirs):
    """Ours to theirs, repetition by repetition, so that a machine that gets slower meanwhile slows both sides."""
    pairs = [(statistics.median(one), statistics.median(other)) for one, other in zip(ours, theirs)]
    if any(other == 0 for _, other in pairs):
        return "–"
    return spread([one / other for one, other in pairs], 3)


def output(command):
    return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()


