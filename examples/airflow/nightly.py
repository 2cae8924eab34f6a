"""A DAG for Airflow 3: the images of the day before, every night, into a folder of that day.

Exit status 2 means that the settings are wrong, which no repetition changes: `plan` finds that in
seconds and is not repeated. `score` is, with the same command on the same output, and does what is
left. The last task hands on what `status --json` prints.
"""

import json
from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

DAY = "{{ macros.ds_add(ds, -1) }}"
OUTPUT = f"s3://my-bucket/predictions/{DAY}"
JOB = f"s3://my-bucket/incoming/{DAY}/ --output {OUTPUT} --model vgg16-12-int8"

with DAG(
    "vggbatch_nightly", schedule="0 2 * * *", start_date=datetime(2026, 1, 1), catchup=False
) as dag:
    plan = BashOperator(task_id="plan", bash_command=f"vggbatch plan {JOB}", retries=0)
    score = BashOperator(
        task_id="score",
        bash_command=f"vggbatch score {JOB} --max-error-rate 0.01 --quiet",
        retries=3,
        retry_delay=timedelta(minutes=5),
    )
    status = BashOperator(
        task_id="status",
        bash_command=(
            f"set -o pipefail; vggbatch status {OUTPUT} --json | python3 -m json.tool --no-indent"
        ),
        output_processor=json.loads,
    )
    plan >> score >> status
