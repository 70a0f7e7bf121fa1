#!/usr/bin/env python3
"""What docker-compose.yml gives Grafana: files where it reads them, that fit each other, the secrets of `symphony init`
and the network. Grafana itself is not run here, and this says so.

Usage: grafana.py SYMPHONY, with the program; needs docker compose and PyYAML."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROVISIONING = "/etc/grafana/provisioning"
# Of those that every Grafana has.
PANELS = {"state-timeline", "stat", "timeseries", "table", "gauge", "bargauge", "text"}
COLUMNS = 24


def check(true, what):
    if not true:
        sys.exit(f"Grafana: {what}")


def composition():
    command = ["docker", "compose", "--profile", "observability", "--file", ROOT / "docker-compose.yml"]
    done = subprocess.run([*command, "config", "--format", "json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def secrets_of(program, service):
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([program, "init", "--out", out], check=True, capture_output=True)
        return {f"/run/symphony/{path.name}" for path in (pathlib.Path(out) / service).iterdir()}


def check_source(source, services, networks, secrets):
    check(source["type"] == "prometheus" and source["access"] == "proxy", "its source is not Prometheus, by way of Grafana")
    url = urlsplit(source["url"])
    check(url.scheme == "https" and url.hostname in services, f"{source['url']} is no service, or not encrypted")
    check(networks & set(services[url.hostname]["networks"]), f"{url.hostname} is in none of its networks")
    check(source["jsonData"]["serverName"] == url.hostname, "the name in the certificate is another")
    check(source["jsonData"]["tlsAuth"] and source["jsonData"]["tlsAuthWithCACert"], "TLS is off")
    for name in ("tlsCACert", "tlsClientCert", "tlsClientKey"):
        path = re.fullmatch(r"\$__file\{(.+)\}", source["secureJsonData"][name])[1]
        check(path in secrets, f"{name}: init makes no {path}")


def check_dashboard(dashboard, sources):
    check(dashboard["uid"] and dashboard["title"] and dashboard["schemaVersion"] >= 36, "the dashboard has no name")
    taken, titles = set(), set()
    for panel in dashboard["panels"]:
        title, place = panel["title"], panel["gridPos"]
        check(panel["type"] in PANELS, f"{title}: no panel of the type {panel['type']}")
        check(panel["datasource"]["uid"] in sources, f"{title}: no source {panel['datasource']['uid']}")
        check(title not in titles, f"{title}: twice")
        titles.add(title)
        check(place["x"] + place["w"] <= COLUMNS, f"{title}: wider than the page")
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        check(not cells & taken, f"{title}: lies on another panel")
        taken |= cells
        letters = [target["refId"] for target in panel["targets"]]
        check(len(set(letters)) == len(letters) > 0, f"{title}: two questions of one letter, or none")
        check(all(target["expr"] for target in panel["targets"]), f"{title}: an empty question")
    return len(titles)


def main():
    whole = composition()
    services, grafana = whole["services"], whole["services"]["grafana"]
    files = {config["target"]: pathlib.Path(whole["configs"][config["source"]]["file"]) for config in grafana["configs"]}
    below = lambda folder: {path: file for path, file in files.items() if str(pathlib.Path(path).parent) == folder}
    secrets = secrets_of(sys.argv[1], "grafana")
    environment = grafana["environment"]
    for name in ("GF_SECURITY_ADMIN_PASSWORD__FILE", "GF_SERVER_CERT_FILE", "GF_SERVER_CERT_KEY"):
        check(environment[name] in secrets, f"{name}: init makes no {environment[name]}")
    check(environment["GF_SERVER_PROTOCOL"] == "https", "its page is not encrypted")

    texts = [file.read_text() for file in below(f"{PROVISIONING}/datasources").values()]
    sources = [source for text in texts for source in yaml.safe_load(text)["datasources"]]
    check(sources, "no source is provisioned")
    for source in sources:
        check_source(source, services, set(grafana["networks"]), secrets)

    texts = [file.read_text() for file in below(f"{PROVISIONING}/dashboards").values()]
    providers = [provider for text in texts for provider in yaml.safe_load(text)["providers"]]
    check(providers, "no dashboard is provisioned")
    panels = 0
    for provider in providers:
        found = below(provider["options"]["path"])
        check(found, f"nothing is mounted below {provider['options']['path']}")
        for file in found.values():
            panels += check_dashboard(json.loads(file.read_text()), {source["uid"] for source in sources})
    print(f"what Grafana reads fits together: {len(sources)} source, {panels} panels; Grafana itself was NOT run")


if __name__ == "__main__":
    main()
