"""Reads metrics as Prometheus would, strictly, and prints the samples: NAME{LABELS} VALUE."""

import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with urllib.request.urlopen(sys.argv[1], timeout=20) as answer:
    text = answer.read().decode()
for family in text_string_to_metric_families(text):
    for sample in family.samples:
        labels = sample.labels or ""
        print(f"{sample.name}{labels} {sample.value}")
