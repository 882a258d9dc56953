"""Sends a record to MLflow: exactly one finished run for it, whatever broke off before.

A record's run is found by the tag `passlaw.digest`. Only a finished run counts; it is finished in
the last step, so that what was half sent is seen to be so, removed, and sent anew. Knows records
and MLflow's client; not where records are kept.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.tracking import calls
from pipelines.tracking.calls import GoOn
from pipelines.tracking.model_folders import ModelFolders
from pipelines.tracking.record import Entry, LawModel, Record
from pipelines.tracking.server import artifact_root
from pipelines.tracking.spool import Sent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

DIGEST_TAG = "passlaw.digest"
"""Says which record a run holds; on the parent alone."""
_PARENT_TAG = "mlflow.parentRunId"
_LAW_TAG = "passlaw.law"
"""Of a cell: the URI that `mlflow.pyfunc.load_model` takes for its law."""
_AT_ONCE = 4
"""Runs that are sent to a server together; into a SQLite file, one writes at a time."""


@dataclass(frozen=True)
class Sender:
    """Sends records to one tracking URI. Any error of MLflow's may come out of it."""

    uri: str
    go_on: GoOn = lambda: None
    register: bool = False
    """Whether the models of the parent are registered too."""

    def send(self, record: Record, files: Mapping[str, Path]) -> tuple[Sent, bool]:
        """Send a record, unless it is there.

        Args:
            record: what to send.
            files: what the parent keeps as artifacts, by their paths in it.

        Returns:
            Where it is, and whether it was sent just now.
        """
        import mlflow

        client = mlflow.MlflowClient(self.uri)
        experiment = _experiment(client, self.uri, record.experiment)
        known = _known(client, experiment, record)
        finished = [run for run in known if run.info.status == "FINISHED"]
        if finished:
            return Sent(run=str(finished[0].info.run_id), experiment=experiment), False
        for run in known:
            _remove(client, experiment, str(run.info.run_id))
        with tempfile.TemporaryDirectory() as folder:
            models = ModelFolders(Path(folder))
            sent = _Sending(self, client, experiment, record, models).send(files)
        # A server that dies after it made a run is asked to make it again.
        for run in _known(client, experiment, record):
            if run.info.run_id != sent:
                _remove(client, experiment, str(run.info.run_id))
        return Sent(run=sent, experiment=experiment), True


@dataclass(frozen=True)
class _Sending:
    """One record on its way."""

    sender: Sender
    client: "MlflowClient"
    experiment: str
    record: Record
    models: ModelFolders

    def send(self, files: Mapping[str, Path]) -> str:
        """Send everything; return the id of the parent."""
        record, client = self.record, self.client
        made = {DIGEST_TAG: record.id, "passlaw.metrics": str(record.metrics)}
        parent = self._create(record.parent, made)
        at_once = _AT_ONCE if self.sender.uri.startswith("http") else 1
        cells = _each(lambda cell: self._cell(parent, cell), record.cells, at_once)
        self._values(parent, record.parent)
        calls.log_files(client, parent, files, self.sender.go_on)
        for model in (*filter(None, [record.laws]), *record.parent.models):
            logged = self._model(parent, model)
            if self.sender.register and model.registered:
                tags = {DIGEST_TAG: record.id}
                calls.register(client, parent, logged, model.registered, tags)
        # Of runs that were made twice, because an answer was lost, one is not known here.
        for run in _below(client, self.experiment, parent):
            if run.info.run_id not in cells:
                client.delete_run(run.info.run_id)
        client.set_terminated(parent, end_time=record.made)
        return parent

    def _cell(self, parent: str, entry: Entry) -> str:
        run = self._create(entry, {_PARENT_TAG: parent})
        self._values(run, entry)
        for model in entry.models:
            self.client.set_tag(run, _LAW_TAG, f"models:/{self._model(run, model)}")
        self.client.set_terminated(run, end_time=self.record.made)
        return run

    def _create(self, entry: Entry, tags: Mapping[str, str]) -> str:
        self.sender.go_on()
        run = self.client.create_run(
            self.experiment,
            start_time=self.record.made,
            run_name=entry.name,
            tags=dict(entry.tags) | dict(tags),
        )
        return str(run.info.run_id)

    def _values(self, run: str, entry: Entry) -> None:
        calls.log_values(self.client, run, entry, self.record.made, self.sender.go_on)
        calls.log_inputs(self.client, run, entry.inputs)
        calls.log_tables(self.client, run, entry.tables)

    def _model(self, run: str, model: LawModel) -> str:
        self.sender.go_on()
        return self.models.send(self.client, self.experiment, run, model)


def _each(function: Callable[[Entry], str], entries: Sequence[Entry], at_once: int) -> list[str]:
    if at_once == 1:
        return [function(entry) for entry in entries]
    with ThreadPoolExecutor(at_once) as threads:
        futures = [threads.submit(function, entry) for entry in entries]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def _experiment(client: "MlflowClient", uri: str, name: str) -> str:
    """Return the id of an experiment, made if need be."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            root = artifact_root(uri, name)
            return str(client.create_experiment(name, artifact_location=root))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _known(client: "MlflowClient", experiment: str, record: Record) -> "list[Run]":
    """Return the parents that a record has already, finished or not."""
    return _pages(client, experiment, f"tags.`{DIGEST_TAG}` = '{record.id}'")


def _below(client: "MlflowClient", experiment: str, parent: str) -> "list[Run]":
    return _pages(client, experiment, f"tags.`{_PARENT_TAG}` = '{parent}'")


def _remove(client: "MlflowClient", experiment: str, parent: str) -> None:
    """Remove what was half sent: a parent last, because it is by the parent that it is found."""
    below = [str(run.info.run_id) for run in _below(client, experiment, parent)]
    for model in _models(client, experiment):
        if model.source_run_id in (*below, parent):
            client.delete_logged_model(model.model_id)
    for run in (*below, parent):
        client.delete_run(run)


def _pages(client: "MlflowClient", experiment: str, wanted: str) -> "list[Run]":
    page = client.search_runs([experiment], filter_string=wanted)
    found = list(page)
    while page.token:
        page = client.search_runs([experiment], filter_string=wanted, page_token=page.token)
        found += page
    return found


def _models(client: "MlflowClient", experiment: str) -> "list[LoggedModel]":
    page = client.search_logged_models([experiment])
    found = list(page)
    while page.token:
        page = client.search_logged_models([experiment], page_token=page.token)
        found += page
    return found
