# SPDX-License-Identifier: Apache-2.0
"""What was told of work for GPUs, from the lines of `inferscope replay --events`."""
import re

_WORK = re.compile(r" of (?P<pid>\d+), (?P<api>[\w ]+): (?P<launches>\d+) launches, (?P<graphs>\d+) graphs, (?P<copies>\d+) copies "
                   r"of (?P<bytes>\d+) bytes, (?P<collectives>\d+) collectives in (?P<ms>[\d.]+) ms, "
                   r"(?:waited (?P<waited>[\d.]+) ms|goes on)")


def gpu_work(lines):
    """A dict for each record: numbers, and the api's name. `waited` is None where nothing was waited for."""
    return [{key: value if key == "api" or value is None else float(value) for key, value in match.groupdict().items()}
            for match in map(_WORK.search, lines) if match]
