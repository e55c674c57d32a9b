"""Reads an .hlog and an .hgrm with Python's own implementation of HdrHistogram and prints what it finds as JSON.

usage: read_back.py FILE.hlog FILE.hgrm

The lines of the .hgrm are judged by the histogram that the .hlog adds up to: a line is wrong if its count is not that of
the values up to its value, or if its value is not the first one that reaches its percentile.
"""

import io
import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader


def own():
    return HdrHistogram(1, 3_600_000_000, 3)


def read_log(path):
    reader = HistogramLogReader(path, own())
    total, intervals = own(), []
    while True:
        interval = reader.get_next_interval_histogram()
        if interval is None:
            return total, intervals, reader.get_start_time_sec()
        intervals.append([interval.get_start_time_stamp(), interval.get_total_count()])
        total.add(interval)


def wrong_lines(path, histogram):
    before, reached, so_far = {}, {}, 0
    for item in histogram.get_recorded_iterator():
        value = histogram.get_highest_equivalent_value(item.value_iterated_to)
        before[value], reached[value] = so_far, item.total_count_to_this_value
        so_far = item.total_count_to_this_value
    wrong, lines = [], 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if not fields or line.startswith("#") or fields[0] == "Value":
                continue
            lines += 1
            value, quantile, total = int(float(fields[0])), float(fields[1]), int(fields[2])
            # Percentiles are printed with twelve digits.
            wanted, slack = quantile * so_far, so_far * 1e-11
            fits = value in reached and before[value] <= wanted + slack and reached[value] >= wanted - slack
            if not fits or reached[value] != total:
                wrong.append(line.strip())
    return lines, wrong


def main():
    total, intervals, start = read_log(sys.argv[1])
    lines, wrong = wrong_lines(sys.argv[2], total)
    out = io.BytesIO()
    total.output_percentile_distribution(out, 1)
    print(json.dumps({
        "count": total.get_total_count(),
        "min": total.get_min_value(),
        "max": total.get_max_value(),
        "mean": total.get_mean_value(),
        "percentiles": [total.get_value_at_percentile(p) for p in (50, 90, 99, 99.9, 99.99)],
        "intervals": intervals,
        "start": start,
        "lines": lines,
        "wrong": wrong,
        "distribution": out.getvalue().decode(),
    }))


main()
