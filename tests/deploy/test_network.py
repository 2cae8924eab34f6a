"""What the network policies let through, by an evaluation of all of them as Kubernetes has it."""

import ipaddress

import pytest

from tests.deploy.kustomize import combined, job_spec, of_kind, overlay, templates

OPERATOR = ({"app.kubernetes.io/name": "kuberay-operator"}, "kuberay")
PROMETHEUS = ({"app.kubernetes.io/name": "prometheus"}, "monitoring")
STRANGER = ({"app": "other"}, "default")
DNS = ({"k8s-app": "kube-dns"}, "kube-system")
HERE = "vision"


def pod(name, kind):
    """(labels, namespace) of a job's pod, with what KubeRay adds to the labels."""
    found = templates(job_spec(overlay(name)))
    labels = dict(found[kind]["metadata"]["labels"])
    if kind != "submitter":
        labels["ray.io/node-type"] = "head" if kind == "head" else "worker"
    return labels, HERE


def selected(selector, labels):
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def matches(peer, other):
    """Whether a peer of a rule is the other side: (labels, namespace), or an address."""
    if isinstance(other, str):
        block = peer.get("ipBlock")
        return block is not None and ipaddress.ip_address(other) in ipaddress.ip_network(
            block["cidr"]
        )
    labels, namespace = other
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        if not selected(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace}):
            return False
    elif namespace != HERE:
        return False
    return selected(peer.get("podSelector", {}), labels)


def allowed(policies, direction, this, other, port, protocol="TCP"):
    """Whether this pod's own side of a connection lets it through."""
    side = {"Ingress": "from", "Egress": "to"}[direction]
    mine = [
        policy["spec"]
        for policy in policies
        if selected(policy["spec"]["podSelector"], this[0])
        and direction in policy["spec"]["policyTypes"]
    ]
    if not mine:
        return True
    for spec in mine:
        for rule in spec.get(direction.lower(), []):
            ports = rule.get("ports")
            if ports and {"protocol": protocol, "port": port} not in ports:
                continue
            if side not in rule or any(matches(peer, other) for peer in rule[side]):
                return True
    return False


@pytest.fixture(params=["score", "evaluate", "nightly"])
def name(request):
    return request.param


@pytest.fixture
def policies(name):
    return of_kind(overlay(name), "NetworkPolicy")


PODS = ["submitter", "head", "spot"]


def test_pods_of_a_job_reach_each_other_on_any_port(name, policies):
    for one in PODS:
        for two in PODS:
            for port in (6379, 8265, 52365, 20123):
                assert allowed(policies, "Egress", pod(name, one), pod(name, two), port)
                assert allowed(policies, "Ingress", pod(name, two), pod(name, one), port)


def test_no_other_pod_comes_in(name, policies):
    others = [STRANGER, PROMETHEUS, DNS, ({"app.kubernetes.io/part-of": "vggbatch"}, HERE)]
    others += [pod(other, "spot") for other in ("score", "evaluate", "nightly") if other != name]
    for other in [*others, "10.1.2.3", "203.0.113.9"]:
        for one in PODS:
            for port in (6379, 8080, 8265, 10001, 443):
                assert not allowed(policies, "Ingress", pod(name, one), other, port), (other, port)


def test_the_operator_reaches_the_dashboard_and_nothing_else(name, policies):
    assert allowed(policies, "Ingress", pod(name, "head"), OPERATOR, 8265)
    assert not allowed(policies, "Ingress", pod(name, "head"), OPERATOR, 6379)
    assert not allowed(policies, "Ingress", pod(name, "spot"), OPERATOR, 8265)


def test_names_and_stores_are_reached_and_nothing_else(name, policies):
    for one in PODS:
        this = pod(name, one)
        for protocol in ("UDP", "TCP"):
            assert allowed(policies, "Egress", this, DNS, 53, protocol)
            assert allowed(policies, "Egress", this, "169.254.20.10", 53, protocol)
            assert not allowed(policies, "Egress", this, "8.8.8.8", 53, protocol)
        assert allowed(policies, "Egress", this, "52.216.1.1", 443)
        assert allowed(policies, "Egress", this, "2600:1f18::1", 443)
        # a node's own credentials
        assert not allowed(policies, "Egress", this, "169.254.169.254", 80)
        for port in (22, 25, 80, 8265, 9000):
            assert not allowed(policies, "Egress", this, STRANGER, port)
    assert allowed(policies, "Egress", pod(name, "head"), "10.96.0.1", 6443)
    assert not allowed(policies, "Egress", pod(name, "spot"), "10.96.0.1", 6443)


def test_prometheus_reads_what_the_pods_export(tmp_path):
    resources = combined(tmp_path, "score", "monitoring")
    policies = of_kind(resources, "NetworkPolicy")
    [monitor] = of_kind(resources, "PodMonitor")
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    for kind, template in templates(job_spec(resources)).items():
        if kind == "submitter":
            continue
        assert selected(monitor["spec"]["selector"], template["metadata"]["labels"])
        ports = {p["name"]: p["containerPort"] for p in template["spec"]["containers"][0]["ports"]}
        # KubeRay starts Ray with --metrics-export-port=8080
        assert ports[endpoint["port"]] == 8080
        assert allowed(policies, "Ingress", pod("score", kind), PROMETHEUS, 8080)
        assert not allowed(policies, "Ingress", pod("score", kind), STRANGER, 8080)
        assert not allowed(policies, "Ingress", pod("score", kind), PROMETHEUS, 6379)


@pytest.mark.parametrize(
    ("component", "address", "port"),
    [("aws-identity", "169.254.170.23", 80), ("gcp-identity", "169.254.169.252", 988)],
)
def test_an_identity_is_handed_out_by_the_node(component, address, port, tmp_path):
    policies = of_kind(combined(tmp_path, "score", component), "NetworkPolicy")
    for kind in PODS:
        assert allowed(policies, "Egress", pod("score", kind), address, port)
        assert not allowed(policies, "Egress", pod("score", kind), address, 22)
