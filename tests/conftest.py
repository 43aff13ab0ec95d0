"""Keeps what became of the tests that hold Rekall's plugins against a guest's truth, for the table of docs/plugins.md."""
import plugin_table
import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    cell = getattr(item, "plugin_cell", None)
    report = outcome.get_result()
    if cell and report.when == "call":
        # Of a skipped test, (file, line, "Skipped: reason").
        reason = report.longrepr[2].partition(": ")[2] if report.skipped else None
        plugin_table.record(item, *cell, passed=report.passed, reason=reason)
