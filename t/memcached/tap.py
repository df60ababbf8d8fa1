"""What a .t file has printed."""

import re
from dataclasses import dataclass, field

# Stands among the assertions for the end that a file has to reach.
END = "the end"


@dataclass
class Result:
    """The assertions of a run, by number."""

    passed: dict = field(default_factory=dict)
    failed: dict = field(default_factory=dict)
    planned: int | None = None
    skip: str | None = None
    late: bool = False

    @property
    def is_whole(self):
        """Whether the file has come to its end, and all that it has planned is there."""
        return not self.late and self.planned is not None and len(self.passed) + len(self.failed) >= self.planned

    @property
    def is_of_use(self):
        """Whether others can be measured by it: a server that has died early passes little."""
        return len(self.passed) > len(self.failed)

    def failures(self, reference=None):
        """What has failed, by number or END, with its description, and what was got and expected. If the file has ended early, what another run has
        come to is missed."""
        bad = dict(self.failed)
        if not self.is_whole:
            bad[END] = "took too long" if self.late else "ended early"
        if reference and not self.is_whole:
            for number, text in {**reference.passed, **reference.failed}.items():
                if number not in self.passed and number not in bad:
                    bad[number] = text
        return bad


def read(output, late):
    """Reads the output of a file."""
    result = Result(late=late)
    number = None
    for line in output.decode("latin-1").splitlines():
        plan = re.match(r"1\.\.(\d+)(?:\s*#\s*skip\S*\s*(.*))?", line, re.IGNORECASE)
        if plan:
            result.planned = int(plan[1])
            if result.planned == 0:
                result.skip = plan[2] or "no reason given"
        found = re.match(r"(not )?ok (\d+)(?: - (.*))?", line)
        if found:
            number = int(found[2])
            (result.failed if found[1] else result.passed)[number] = found[3] or ""
        detail = re.match(r"#\s+((?:got|expected): .*)", line)
        if detail and number in result.failed:
            result.failed[number] += f" {detail[1].strip()}"
    return result
