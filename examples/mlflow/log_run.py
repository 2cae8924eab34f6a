"""Log a finished run of vggbatch to MLflow: `python examples/mlflow/log_run.py OUTPUT`.

`MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` say where to.
"""

import sys

import mlflow

import vggbatch


def log_run(output: str) -> str:
    """Log the metrics of an output, what they are of, and its run.json.

    Args:
        output: folder or URI of a run that is complete.

    Returns:
        Id of the MLflow run.
    """
    record = vggbatch.load_run(output)
    with mlflow.start_run(run_name=record["run_id"]) as run:
        mlflow.set_tags({"vggbatch": record["vggbatch"], "vggbatch.output": output})
        mlflow.log_params(
            {
                "model": record["model"]["name"],
                "model_sha256": record["model"]["sha256"],
                "profile": record["preprocess"]["profile"],
            }
        )
        counts = record["counts"]
        mlflow.log_metrics({"images": counts["images"], "errors": counts["errors"]})
        for line in record.get("metrics") or []:
            if line["value"] is not None:
                mlflow.log_metric(f"{line['label_set']}/{line['metric']}", line["value"])
        mlflow.log_dict(record, "run.json")
    return run.info.run_id


if __name__ == "__main__":
    print(log_run(sys.argv[1]))
