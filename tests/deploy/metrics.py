#!/usr/bin/env python3
"""Rules and dashboard of deploy/observability: every metric they name is in the sources, every alert has a test and a
line on the page of operations, and a real Prometheus that scrapes `symphony dev` has an answer to every question of the
dashboard, and fires NoLeader when all nodes are stopped.

Usage: metrics.py SYMPHONY, with the program; needs prometheus and PyYAML."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
OBSERVABILITY = ROOT / "deploy/observability"
NAME = re.compile(r"\bsymphony_[a-z_]+")
PATIENCE_S = 120

# Counted only when something goes wrong: no answer is the good one.
RARE = {
    "symphony_dependency_up == 0",
    "sum by (node, reason) (rate(symphony_datagrams_refused_total[1m]))",
}


def expressions():
    """Of the rules by alert, and of the dashboard by panel."""
    rules = yaml.safe_load((OBSERVABILITY / "rules.yml").read_text())["groups"]
    alerts = {rule["alert"]: rule["expr"] for group in rules for rule in group["rules"]}
    panels = json.loads((OBSERVABILITY / "grafana/dashboards/symphony.json").read_text())["panels"]
    return alerts, [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def metrics_of_the_sources():
    sources = [path for part in ("adapters", "node-linux") for path in (ROOT / part / "src").rglob("*.rs")]
    text = "".join(path.read_text() for path in sources)
    names = set(re.findall(r'(?:counter|gauge|histogram)!\(\s*"(symphony_[a-z_]+)"', text))
    return names | set(re.findall(r"# TYPE (symphony_[a-z_]+) ", text))


def check_names(alerts, panels):
    known = metrics_of_the_sources()
    for where, expression in [*alerts.items(), *panels]:
        for name in NAME.findall(expression):
            if name not in known and re.sub("_(bucket|sum|count)$", "", name) not in known:
                sys.exit(f"{where}: there is no metric {name} in the sources")
    tests = yaml.safe_load((OBSERVABILITY / "rules.test.yml").read_text())["tests"]
    tested = {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case.get("exp_alerts")}
    page = (ROOT / "docs/operations.md").read_text()
    for alert in alerts:
        if alert not in tested:
            sys.exit(f"{alert}: no test makes it fire")
        if f"| `{alert}` |" not in page:
            sys.exit(f"{alert}: docs/operations.md does not say what it means")
    print(f"{len(alerts)} alerts and {len(panels)} questions of the dashboard name metrics of the sources")


def get(url, **request):
    with urllib.request.urlopen(urllib.request.Request(url, **request), timeout=10) as answer:
        return answer.read().decode()


def until(what, condition):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.5)
    sys.exit(f"waited {PATIENCE_S} s in vain for {what}")


class Prometheus:
    """One that scrapes a manager of `dev`, whose roles share their metrics."""

    def __init__(self, folder, target):
        config = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
        config["rule_files"] = [str(OBSERVABILITY / "rules.yml")]
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        job = {"job_name": "symphony", "static_configs": [{"targets": [target], "labels": {"role": "dev"}}]}
        config["scrape_configs"] = [job]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        log = (folder / "prometheus.log").open("w")
        # Port 0: its log tells which it is.
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
        self.process = subprocess.Popen([*command, "--web.listen-address=127.0.0.1:0"], stderr=log, stdout=log)
        told = lambda: re.search(r"address=(127\.0\.0\.1:[1-9]\d*)", (folder / "prometheus.log").read_text())
        self.url = "http://" + until("Prometheus's address", told)[1]

    def ask(self, expression):
        query = urllib.parse.urlencode({"query": expression})
        return json.loads(get(f"{self.url}/api/v1/query?{query}"))["data"]["result"]


def check_live(program, panels):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = folder / "data"
        out = (folder / "dev.out").open("w")
        running = [subprocess.Popen([program, "dev", "--data", data], stdout=out, stderr=out)]
        try:
            shown = lambda word: re.search(rf"^  {word} +http://([0-9.:]+)/", (folder / "dev.out").read_text(), re.M)
            manager, control = (until(f"dev's {word}", lambda: shown(word))[1] for word in ("start", "control"))
            until("the manager", lambda: get(f"http://{manager}/readyz"))
            prometheus = Prometheus(folder, manager)
            running.append(prometheus.process)
            for panel, expression in panels:
                if expression in RARE:
                    prometheus.ask(expression)
                else:
                    until(f"an answer to {panel}: {expression}", lambda: prometheus.ask(expression))
            if critical := prometheus.ask('ALERTS{alertstate="firing", severity="critical"}'):
                sys.exit(f"a healthy cluster alarms: {critical}")
            token = (data / "api.token").read_text().strip()
            for node in (1, 2, 3):
                url = f"http://{control}/v1/dev/nodes/{node}/stop"
                get(url, method="POST", headers={"Authorization": f"Bearer {token}"})
            firing = 'ALERTS{alertname="NoLeader", alertstate="firing"}'
            until("NoLeader, with all nodes stopped", lambda: prometheus.ask(firing))
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait(timeout=PATIENCE_S)
    print("a real Prometheus answers every question of the dashboard, and fires NoLeader when nobody leads")


if __name__ == "__main__":
    alerts, panels = expressions()
    check_names(alerts, panels)
    check_live(sys.argv[1], panels)
