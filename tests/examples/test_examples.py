"""The examples: they parse, vggbatch has their commands, and what can run here runs."""

import ast
import datetime
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jinja2
import jsonschema
import kubernetes_validate
import pytest
import typer.main
import yaml

import vggbatch
from tests.deploy.pod_security import violations
from tests.support.images import write_folder
from vggbatch.cli import app
from vggbatch.config import load_config

EXAMPLES = Path("examples")
AIRFLOW = EXAMPLES / "airflow/nightly.py"
ARGO = EXAMPLES / "argo/nightly.yaml"
SLURM = EXAMPLES / "slurm/score.sh"
MLFLOW = EXAMPLES / "mlflow/log_run.py"


def test_the_page_names_every_example():
    page = (EXAMPLES / "README.md").read_text()
    kinds = (".py", ".sh", ".yaml", ".ipynb")
    files = [path for path in EXAMPLES.rglob("*.*") if path.suffix in kinds]
    assert {str(path.relative_to(EXAMPLES)) for path in files} == set(
        re.findall(r"`((?:\w+/)+\w+\.(?:py|sh|yaml|ipynb))`", page)
    )


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.parent.name)
def test_python_compiles(path):
    compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.sh")), ids=lambda path: path.parent.name)
def test_shell_parses(path):
    subprocess.run(["bash", "-n", path], check=True)


def commands(script):
    """The words of each command of vggbatch in a script, without what it is redirected to."""
    script = script.replace("\\\n", " ")
    for line in re.split(r"[;|\n]", script):
        words = shlex.split(line, comments=True)
        if words[:1] == ["vggbatch"]:
            yield words[1 : words.index(">")] if ">" in words else words[1:]


def accepted(words):
    """The values of a command, whose configuration is valid if it has one."""
    values = typer.main.get_command(app).commands[words[0]].make_context(words[0], words[1:]).params
    if words[0] in ("score", "plan"):
        settings = {"input": values["inputs"], "output": values["output"], "model": values["model"]}
        assert load_config(options=settings, environ={}).output
    return values


def dag_commands():
    """task_id -> the words of what vggbatch is asked for on the night after 2026-11-25."""
    tree = ast.parse(AIRFLOW.read_text())
    known = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            known[node.targets[0].id] = eval(compile(ast.Expression(node.value), "", "eval"), known)
    days = {"ds_add": lambda day, n: str(datetime.date.fromisoformat(day) + datetime.timedelta(n))}
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BashOperator":
            given = {word.arg: word.value for word in node.keywords}
            text = eval(compile(ast.Expression(given["bash_command"]), "", "eval"), known)
            text = jinja2.Template(text).render(ds="2026-11-26", macros=days)
            subprocess.run(["bash", "-n", "-c", text], check=True)
            found[given["task_id"].value] = list(commands(text))
    return found


def test_the_dag_asks_for_what_vggbatch_has():
    tasks = dag_commands()
    assert list(tasks) == ["plan", "score", "status"]
    values = {task: accepted(words) for task, [words] in tasks.items()}
    assert values["plan"]["inputs"] == ["s3://my-bucket/incoming/2026-11-25/"]
    assert values["plan"]["inputs"] == values["score"]["inputs"]
    outputs = {values[task]["output"] for task in tasks}
    assert outputs == {"s3://my-bucket/predictions/2026-11-25"}
    assert values["status"]["as_json"]


def test_airflow_loads_the_dag(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    pytest.importorskip("airflow", reason="needs apache-airflow, which no extra installs")
    code = f"import runpy; dag = runpy.run_path('{AIRFLOW}')['dag']; print(*sorted(dag.task_ids))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-3:] == ["plan", "score", "status"]


def test_the_last_task_hands_on_one_line(tmp_path):
    # Airflow takes the last line that is printed, and output_processor reads it
    document = json.dumps({"state": "complete", "rows": 6}, indent=2)
    done = subprocess.run(
        [sys.executable, "-m", "json.tool", "--no-indent"],
        input=document,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(document)


def test_argo_gets_a_workflow_and_a_pod_that_are_valid():
    cron = yaml.safe_load(ARGO.read_text())
    closed = {"type": "object", "additionalProperties": False}
    top = {name: {} for name in ("apiVersion", "kind", "metadata", "spec")}
    jsonschema.validate(cron, {**closed, "properties": top})
    names = ("schedules", "timezone", "concurrencyPolicy", "workflowSpec")
    jsonschema.validate(cron["spec"], {**closed, "properties": {name: {} for name in names}})
    spec = cron["spec"]["workflowSpec"]
    [template] = spec["templates"]
    assert spec["entrypoint"] == template["name"]
    # Argo's own fields go, what is left is Kubernetes'
    pod = {key: spec[key] for key in ("securityContext", "volumes", "automountServiceAccountToken")}
    pod |= {"serviceAccountName": spec["serviceAccountName"]}
    pod["containers"] = [{"name": "main", **template["container"]}]
    assert violations(pod) == []
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}
    kubernetes_validate.validate(whole, kubernetes_validate.latest_version(), strict=True)


def test_argo_scores_the_day_before_and_gives_up_on_wrong_settings():
    spec = yaml.safe_load(ARGO.read_text())["spec"]["workflowSpec"]
    [template] = spec["templates"]
    script = template["container"]["args"][0]
    script = script.replace("{{workflow.scheduledTime}}", "2026-11-26T02:00:00Z")
    assert "{{" not in script
    day = subprocess.run(
        ["sh", "-ec", f"{script.splitlines()[0]}; echo $day"],
        env={**os.environ, "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert day == "2026-11-25"
    [words] = commands(script.replace("$day", day))
    values = accepted(words)
    assert values["inputs"] == [f"s3://my-bucket/incoming/{day}/"]
    assert values["output"] == f"s3://my-bucket/predictions/{day}"
    assert template["outputs"]["parameters"][0]["valueFrom"]["path"] in script
    assert template["retryStrategy"]["expression"] == 'lastRetry.exitCode != "2"'


def test_every_image_is_of_this_version():
    for path in EXAMPLES.rglob("*.yaml"):
        for image in re.findall(r"^ *image: (\S+)$", path.read_text(), re.MULTILINE):
            assert image.rsplit(":", 1)[1] == vggbatch.__version__


def test_slurm_has_a_task_for_each_part():
    text = SLURM.read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", text, re.MULTILINE))
    assert options.keys() >= {"array", "cpus-per-task", "mem", "requeue", "open-mode"}
    assert options["array"].split("-")[0] == "1", "parts are counted from 1"
    [submit] = re.findall(r"sbatch --parsable (.*)\)$", text, re.MULTILINE)
    path, *options = shlex.split(submit)
    assert Path(path) == SLURM
    accepted(["score", *options, "--part", "1/8", "--output", "parts/1"])
    [merge] = re.findall(r'--wrap "vggbatch (.*)"$', text, re.MULTILINE)
    accepted(shlex.split(merge))


@pytest.mark.slow
def test_parts_of_slurm_are_joined(net, tmp_path):
    names = write_folder(tmp_path / "images", 7)
    assert [task(number, net, tmp_path) for number in (1, 2, 3)] == [0, 0, 2], "two parts"
    parts = [str(tmp_path / f"parts/{number}") for number in (1, 2)]
    vggbatch.merge(parts, str(tmp_path / "predictions"))
    rows = vggbatch.load_predictions(str(tmp_path / "predictions")).to_pylist()
    assert sorted(row["image_id"] for row in rows) == sorted(names)
    assert not any(row["error"] for row in rows)


def task(number, net, folder):
    """Run a task of an array of two; its exit status."""
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_ARRAY_JOB_ID": "1",
        "SLURM_ARRAY_TASK_ID": str(number),
        "SLURM_ARRAY_TASK_COUNT": "2",
    }
    words = ["bash", SLURM.resolve(), "images", "--model", net]
    return subprocess.run(words, cwd=folder, env=environ, check=False, timeout=120).returncode


# of MLflow itself, on Python 3.14
@pytest.mark.filterwarnings(r"ignore:codecs.open\(\) is deprecated:DeprecationWarning")
def test_mlflow_gets_the_metrics_and_the_record(net, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "vggbatch")
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow-skinny")
    output = str(tmp_path / "out")
    names = write_folder(tmp_path / "images", 6)
    labels = tmp_path / "labels.csv"
    labels.write_text("".join(f"{name},{number}\n" for number, name in enumerate(names)))
    vggbatch.evaluate(str(tmp_path / "images"), output=output, model=str(net), labels=str(labels))
    example = {"__name__": "example"}
    exec(compile(MLFLOW.read_text(), str(MLFLOW), "exec"), example)
    logged = mlflow.get_run(example["log_run"](output))
    record = vggbatch.load_run(output)
    assert logged.data.params["model_sha256"] == record["model"]["sha256"]
    expected = {f"{m['label_set']}/{m['metric']}": m["value"] for m in record["metrics"]}
    expected = {name: value for name, value in expected.items() if value is not None}
    assert len(expected) > 5
    assert logged.data.metrics == {**expected, "images": 6.0, "errors": 0.0}
    kept = mlflow.artifacts.load_dict(f"{logged.info.artifact_uri}/run.json")
    assert kept["run_id"] == record["run_id"]
