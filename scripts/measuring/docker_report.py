"""The figures of runs as containers, as Markdown."""

from measuring.report import Report, output, ratios, spread


class DockerReport(Report):
    engine = "the engine alone"

    def text(self):
        return "\n\n".join("\n".join(part) for part in (self.conditions(), self.figures()))

    def conditions(self):
        yield from super().conditions()
        bench = self.bench
        package = "import importlib.metadata as m; print(m.version('prefect-docker'), 'with docker', m.version('docker'))"
        yield f"- prefect-docker {output([bench.python, '-c', package])}; Docker Engine {bench.engine_version}"
        yield from (f"- failed: {failure}" for failure in bench.failures)

    def figures(self):
        many = self.bench.extent.parallel
        rows = [
            ("claim sent to container started, ms", "from claim", 0),
            ("claim accepted to container started, ms", "launch", 0),
            ("– of it waiting for the API, ms", "api", 0),
            ("– of it neither the API nor the engine's create and start, ms", "own", 0),
            (f"first claim accepted to the last of {many} containers started, s", "many", 2),
            (f"processor time for each of {many} runs until all had started, ms", "many processor", 1),
            ("resident memory idle, before them, MiB", "idle rss", 1),
            (f"resident memory with {many} live containers, MiB", "rss", 1),
            ("– pages that others share counted in part (PSS), MiB", "pss", 1),
            ("– of it anonymous (its own), MiB", "anonymous", 1),
            ("threads", "threads", 0),
        ]
        yield f"| median (min – max) | `{self.ours}` | `{self.theirs}` | ratio | {self.engine} |"
        yield "|---|---|---|---|---|"
        for label, figure, digits in rows:
            samples = self.bench.samples[figure]
            if not samples:
                continue
            sides = samples[self.ours], samples[self.theirs]
            cells = [spread(sum(side, []), digits) if side else "none" for side in sides]
            alone = samples.get(self.engine)
            last = spread(sum(alone, []), digits) if alone else ""
            yield f"| {label} | {' | '.join(cells)} | {ratios(*sides) if all(sides) else ''} | {last} |"
