#!/usr/bin/env python3
"""The manifests of deploy/kubernetes: valid by the API's own schemas, and what they hand to each role is a
configuration that the role takes.

Usage: kubernetes.py SYMPHONY MANIFESTS, with the program and the output of `kubectl kustomize`; needs
kubernetes-validate, which brings the schemas. Exits with 1, saying what is wrong."""

import copy
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import kubernetes_validate
import yaml

# The oldest that has all that is used (ordinals that start at 1, for good), and the newest whose schemas are there.
VERSIONS = ["1.31.0", "1.37.0"]
SECRETS = {
    "api.token": "0123456789abcdef0123456789abcdef",
    "database.url": "postgres://symphony:secret@postgres.example/symphony?sslmode=verify-full",
    "broker.url": "amqps://symphony:secret@rabbitmq.example/symphony",
    "ftp.password": "secret",
    "mail.url": "smtp://symphony:secret@mail.example:587?tls=required",
}


def problem_of(manifest, version):
    """Why the schemas refuse a manifest, or none."""
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return error.message
    return None


def check_schemas(manifests):
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        for version in VERSIONS:
            if problem := problem_of(manifest, version):
                sys.exit(f"{name}: Kubernetes {version}: {problem}")
    # A mistake must not pass: a check that finds nothing proves nothing.
    wrong = copy.deepcopy(next(manifest for manifest in manifests if manifest["kind"] == "StatefulSet"))
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    for version in VERSIONS:
        if not problem_of(wrong, version):
            sys.exit(f"Kubernetes {version}: a field that does not exist was not found")
    print(f"{len(manifests)} manifests are valid for Kubernetes {' and '.join(VERSIONS)}")


def check_security(name, pod):
    """What makes a pod one of the profile `restricted`, and more."""
    context = pod["securityContext"]
    container = pod["containers"][0]
    inner = container["securityContext"]
    secrets = [volume["projected"] for volume in pod["volumes"] if "projected" in volume]
    holds = {
        "not root": context["runAsNonRoot"] and context["runAsUser"] > 0,
        "seccomp": context["seccompProfile"]["type"] == "RuntimeDefault",
        "no more privileges": inner["allowPrivilegeEscalation"] is False,
        "a read-only image": inner["readOnlyRootFilesystem"],
        "no capabilities": inner["capabilities"]["drop"] == ["ALL"],
        "no token of the API": pod["automountServiceAccountToken"] is False,
        "secrets for its group alone": secrets and all(secret["defaultMode"] == 0o440 for secret in secrets),
        "a limit": "memory" in container["resources"]["limits"],
    }
    for what, true in holds.items():
        if not true:
            sys.exit(f"{name}: {what}: not so")


def lack_of_voters(manifests, state):
    """What a voter needs beside its pod, and does not have, whose record lies at a path; or none."""
    named = {(item["kind"], item["metadata"]["name"]): item["spec"] for item in manifests if "spec" in item}
    web = named.get(("StatefulSet", "web"))
    if not web:
        return "a StatefulSet"
    labels = web["template"]["metadata"]["labels"]
    chosen = lambda selector: selector and selector.items() <= labels.items()
    pod = web["template"]["spec"]
    claims = {claim["metadata"]["name"] for claim in web.get("volumeClaimTemplates", [])}
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    apart = pod.get("affinity", {}).get("podAntiAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])
    service = named.get(("Service", web["serviceName"]), {})
    budget = named.get(("PodDisruptionBudget", "web"), {})
    reached = {
        port["port"]
        for (kind, _), policy in named.items()
        if kind == "NetworkPolicy" and chosen(policy["podSelector"].get("matchLabels"))
        for rule in policy["ingress"]
        if any(chosen(peer.get("podSelector", {}).get("matchLabels")) for peer in rule.get("from", []))
        for port in rule["ports"]
    }
    has = {
        "a volume of its own for its record": mounts.get(str(pathlib.PurePath(state).parent)) in claims,
        "a machine of its own": any(
            term["topologyKey"] == "kubernetes.io/hostname" and chosen(term["labelSelector"].get("matchLabels"))
            for term in apart
        ),
        "a name before it is ready": service.get("clusterIP") == "None"
        and service.get("publishNotReadyAddresses") is True
        and chosen(service.get("selector")),
        "a budget of disruptions": budget.get("maxUnavailable") == 1
        and chosen(budget.get("selector", {}).get("matchLabels")),
        "a closed namespace": named.get(("NetworkPolicy", "closed"), {}).get("podSelector") == {},
        "a way to the other voters": 7400 in reached,
    }
    return next((what for what, true in has.items() if not true), None)


def check_voters(manifests, state):
    if lack := lack_of_voters(manifests, state):
        sys.exit(f"web: voters lack {lack}")
    # Each of these mistakes must be found.
    mistakes = {
        "no StatefulSet": lambda kind, spec: kind == "StatefulSet" and spec.clear(),
        "no claim": lambda kind, spec: spec.pop("volumeClaimTemplates", None),
        "no anti-affinity": lambda kind, spec: kind == "StatefulSet" and spec["template"]["spec"].pop("affinity"),
        "one address for all": lambda kind, spec: kind == "Service" and spec.pop("clusterIP", None),
        "no name before it is ready": lambda kind, spec: kind == "Service" and spec.pop("publishNotReadyAddresses", None),
        "no budget": lambda kind, spec: kind == "PodDisruptionBudget" and spec.clear(),
        "a budget of other pods": lambda kind, spec: kind == "PodDisruptionBudget"
        and spec["selector"]["matchLabels"].update(app="ftp"),
        "no policy": lambda kind, spec: kind == "NetworkPolicy" and spec.update(podSelector={"matchLabels": {"app": "x"}}),
    }
    for name, make in mistakes.items():
        wrong = copy.deepcopy(manifests)
        for item in wrong:
            if item["metadata"]["name"] in ("web", "closed", "election") and "spec" in item:
                make(item["kind"], item["spec"])
        if not lack_of_voters([item for item in wrong if item.get("spec")], state):
            sys.exit(f"web: {name}: not found")
    print(f"voters have volume, machine, name, budget and network of their own; {len(mistakes)} mistakes are found")


def check_secrets(workloads):
    """docs/operations.md makes each secret that a pod names, with each file that its role reads."""
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs/operations.md").read_text().replace("\\\n", " ")
    made = dict(re.findall(r"kubectl -n symphony create secret generic (\S+)((?: +--\S+)+)", page))
    for workload in workloads:
        role, pod = workload["metadata"]["name"], workload["spec"]["template"]["spec"]
        files = set()
        for volume in pod["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                name = source["secret"]["name"]
                options = made.get(name) or made.get(name.replace(role, "$role"))
                if not options:
                    sys.exit(f"{role}: docs/operations.md makes no secret {name}")
                # What kubectl names a file: by what stands before `=`, else by the file's own name.
                files |= {pathlib.PurePath(told).name for told in re.findall(r"--from-file=([^=\s]+)", options)}
        for variable in pod["containers"][0]["env"]:
            path = pathlib.PurePath(variable.get("value", ""))
            if path.parent == pathlib.PurePath("/run/symphony") and path.name not in files:
                sys.exit(f"{role}: docs/operations.md puts no {path.name} into its secrets")
    print(f"docs/operations.md makes every secret of {len(workloads)} roles")


def run(program, arguments, environment):
    return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)


def check_role(program, workload, config_maps, pod_name):
    """Lays the pod's files out, and asks the program what it makes of them. Returns the configuration that it shows."""
    pod = workload["spec"]["template"]["spec"]
    container = pod["containers"][0]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    with tempfile.TemporaryDirectory() as root:
        for mount in container["volumeMounts"]:
            folder = pathlib.Path(root + mount["mountPath"])
            folder.mkdir(parents=True)
            volume = volumes.get(mount["name"], {})
            files = SECRETS if "projected" in volume else {}
            if "configMap" in volume:
                files = config_maps[volume["configMap"]["name"]]
            for name, content in files.items():
                (folder / name).write_text(content)
        environment = {}
        for variable in container["env"]:
            value = variable.get("value") or pod_name
            value = re.sub(r"\$\((\w+)\)", lambda name: environment[name[1]], value)
            environment[variable["name"]] = root + value if value.startswith("/") else value
        role = container["args"][0]
        for arguments in (["config", "check", role], ["config", "show", role]):
            done = run(program, arguments, environment)
            if done.returncode != 0:
                sys.exit(f"{pod_name}: symphony {' '.join(arguments)}:\n{done.stderr}{done.stdout}")
        return done.stdout


def ports(role, text):
    """The port that a role's health answers at, by its own configuration."""
    shown = tomllib.loads(text)
    address = {
        "web": lambda: shown["web"]["listen"],
        "manager": lambda: shown["manager"]["listen"],
        "scraper": lambda: shown["scraper"]["operations"],
        "ftp": lambda: shown["ftp_server"]["operations"],
    }[role]()
    return int(address.rsplit(":", 1)[1]), shown


def main():
    program, path = sys.argv[1:]
    manifests = list(yaml.safe_load_all(pathlib.Path(path).read_text()))
    check_schemas(manifests)
    config_maps = {item["metadata"]["name"]: item["data"] for item in manifests if item["kind"] == "ConfigMap"}
    workloads = [item for item in manifests if item["kind"] in ("StatefulSet", "Deployment")]
    check_secrets(workloads)
    ids = {}
    for workload in workloads:
        name, spec = workload["metadata"]["name"], workload["spec"]
        pod = spec["template"]["spec"]
        check_security(name, pod)
        first = spec.get("ordinals", {}).get("start", 0)
        for ordinal in range(first, first + spec["replicas"]):
            port, shown = ports(name, check_role(program, workload, config_maps, f"{name}-{ordinal}"))
            container = pod["containers"][0]
            known = {named["name"]: named["containerPort"] for named in container["ports"]}
            for probe in ("livenessProbe", "readinessProbe"):
                ask = container[probe]["httpGet"]
                if (known[ask["port"]], ask["scheme"]) != (port, "HTTPS"):
                    sys.exit(f"{name}: {probe} does not ask https at port {port}")
            if name == "web":
                ids[f"{name}-{ordinal}.web:7400"] = shown["node"]["id"]
                state = shown["node"]["state"]
                members = {member["address"]: member["id"] for member in shown["node"]["members"]}
    if ids != members:
        sys.exit(f"the members are {members}, the pods are {ids}")
    check_voters(manifests, state)
    print(f"{len(workloads)} roles take their configuration; the members are {', '.join(sorted(members))}")


if __name__ == "__main__":
    main()
