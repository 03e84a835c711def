"""A running `strata up`: start, stop, kill, start again on the same folder; clients that sign with its keys."""

import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

REGION = "us-east-1"
ACCESS_KEY = "AKIASTRATACONTRACT01"
SECRET_KEY = "contract/tests+secret/key0123456789ABCDEF"


def wait_until(what, look, seconds=60, every=0.02):
    """Calls `look` until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s; last seen: {seen!r}")
        time.sleep(every)


class Cloud:
    """The first start takes a free port; later starts take the same, so that clients go on."""

    region = REGION
    access_key = ACCESS_KEY
    secret_key = SECRET_KEY

    # --dev logs every request, which a failed test wants and a benchmark does not.
    options = ["--dev"]

    def __init__(self, binary, folder):
        self.binary = Path(binary)
        self.folder = Path(folder)
        self.port = 0
        self.url = None
        self.process = None
        self.starts = 0

    @property
    def pid(self):
        return self.process.pid

    @property
    def environment(self):
        """What a program needs to reach this cloud."""
        return os.environ | {
            "AWS_ENDPOINT_URL": self.url or "",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "STRATA_ROOT_ACCESS_KEY_ID": self.access_key,
            "STRATA_ROOT_SECRET_ACCESS_KEY": self.secret_key,
            "STRATA_DATA_DIR": str(self.folder),
        }

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Returns when the cloud listens."""
        self.starts += 1
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.log = self.folder.parent / f"{self.folder.name}.{self.starts}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [self.binary, "up", "--port", str(self.port), "--data-dir", self.folder, *self.options],
                stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True, env=self.environment,
            )
        listening, self.output, heard = threading.Event(), [], []

        def read(stream):
            for line in stream:
                self.output.append(line.rstrip())
                found = re.search(r"listening on (http://[^\s]+)", line)
                if found:
                    heard.append(found[1])
                    self.url = found[1]
                    self.port = int(self.url.rsplit(":", 1)[1])
                    listening.set()
            listening.set()  # the stream ended: nobody will listen any more

        threading.Thread(target=read, args=(self.process.stdout,), daemon=True).start()
        if not listening.wait(60) or not heard or self.process.poll() is not None:
            self.process.kill()
            raise AssertionError(f"strata up did not start:\n{self.output}\n{self.log_tail()}")

    def stop(self):
        """Asks it to end, as an operator would; returns the exit code."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"strata up did not end within 60 s of SIGTERM:\n{self.log_tail()}") from None
        return self.process.returncode

    def restart(self):
        code = self.stop()
        self.start()
        return code

    def kill9(self):
        """The power cut."""
        self.process.kill()
        self.process.wait()

    def healthy(self):
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def log_tail(self, lines=40):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def client(self, service, *, retries=False, validate=True, **options):
        """A boto3 client. `validate=False` sends what botocore itself would refuse."""
        more = options.pop("config", None)
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 3 if retries else 1},
            parameter_validation=validate, connect_timeout=5, read_timeout=70, max_pool_connections=32,
            s3={"addressing_style": "path"},
        )
        return boto3.session.Session().client(
            service,
            **{
                "endpoint_url": self.url, "region_name": self.region, "aws_access_key_id": self.access_key,
                "aws_secret_access_key": self.secret_key, "config": config.merge(more) if more else config,
            } | options,
        )

    def run(self, *arguments, check=True, **options):
        """Runs the binary itself: `cloud.run("jobs", "ls")`."""
        done = subprocess.run(
            [self.binary, *arguments], env=self.environment, capture_output=True, text=True, timeout=60, **options
        )
        assert not check or done.returncode == 0, f"strata {arguments} ended with {done.returncode}: {done.stderr}"
        return done
