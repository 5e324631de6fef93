"""Write a dashboard to Weights & Biases, as a saved view of the project and as a report, by wandb-workspaces."""

from __future__ import annotations

from typing import Any

from collapse_lab.errors import UserError
from collapse_lab.report.dashboard import Dashboard, Panel, Part

MOST_RUNS = 100  # runs that a panel draws


def publish(dashboard: Dashboard, entity: str, project: str) -> list[str]:
    """Save the view and the report, and return their addresses.

    Args:
        dashboard: what they show.
        entity: the W&B user or team.
        project: the project, which has to be there.

    Raises:
        UserError: wandb-workspaces is not installed, there is no key, or W&B refuses: the project is not there, or
            belongs to somebody else.
    """
    view, report = view_of(dashboard, entity, project), report_of(dashboard, entity, project)
    try:
        there = _projects(entity)
        if project not in there:  # because wandb-workspaces would make one
            raise UserError(
                f"{entity} has no project '{project}'; it has {', '.join(there) or 'none that you may see'}"
            )
        view.save()
        report.save()
    except UserError:
        raise
    except Exception as error:  # because each version of wandb raises errors of its own
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"Weights & Biases did not take the dashboard of {entity}/{project} ({said[:300]}). Log in with `wandb "
            "login`, and check that this entity and project are there and yours; --dry-run shows the dashboard without"
        ) from error
    return [str(view.url), str(report.url)]


def view_of(dashboard: Dashboard, entity: str, project: str) -> Any:
    """Return the saved view of the project; nothing is sent."""
    ws, _, expr = _library()
    sections = [
        ws.Section(name=part.title, panels=[_panel(dashboard, p) for p in part.panels], is_open=number < 2)
        for number, part in enumerate(dashboard.parts)
    ]
    runs = ws.RunsetSettings(
        groupby=[expr.Config(name) for name in dashboard.groups],
        filters=[expr.Config("name").isin(list(dashboard.experiments))],
    )
    return ws.Workspace(
        entity=entity,
        project=project,
        name=dashboard.title,
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis="generation", max_runs=MOST_RUNS),
        runset_settings=runs,
    )


def report_of(dashboard: Dashboard, entity: str, project: str) -> Any:
    """Return the report; nothing is sent."""
    _, wr, expr = _library()
    blocks: list[Any] = [wr.P(text=sentence) for sentence in dashboard.text]
    for part in dashboard.parts:
        runs = wr.Runset(
            entity=entity,
            project=project,
            groupby=[f"config.{name}" for name in dashboard.groups] if _grouped(part) else [],
            filters=[expr.Config("name").isin(list(dashboard.experiments))],
        )
        panels = [_panel(dashboard, panel, number) for number, panel in enumerate(part.panels)]
        blocks += [wr.H2(text=part.title), wr.P(text=part.text), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(entity=entity, project=project, title=dashboard.title, blocks=blocks)


def _projects(entity: str) -> list[str]:
    import wandb

    return sorted(project.name for project in wandb.Api().projects(entity))


def _library() -> tuple[Any, Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
        from wandb_workspaces import expr
    except ImportError as error:
        raise UserError(
            "a dashboard needs wandb-workspaces, which is not installed: pip install 'collapse-lab[dashboard]'; "
            "--dry-run prints the dashboard without it"
        ) from error
    return workspaces, reports, expr


def _grouped(part: Part) -> bool:
    """Return whether a section shows groups of runs, and not each run by itself."""
    return all(panel.kind in ("curves", "shares") for panel in part.panels)


def _panel(dashboard: Dashboard, panel: Panel, number: int = 0) -> Any:
    _, wr, _ = _library()
    layout = wr.Layout(x=8 * (number % 3), y=8 * (number // 3), w=8, h=8)
    if panel.kind == "dose":
        (name,) = panel.names
        y = wr.SummaryMetric(name)
        return wr.ScatterPlot(title=panel.title, x=wr.Config(panel.x), y=y, regression=False, layout=layout)
    if panel.kind == "pictures":
        return wr.MediaBrowser(
            title=panel.title, media_keys=list(panel.names), grid_x_axis="step", grid_y_axis="run", layout=layout
        )
    if panel.kind == "table":
        (name,) = panel.names
        return wr.WeavePanelSummaryTable(table_name=name, layout=wr.Layout(x=0, y=10 * number, w=24, h=10))
    return wr.LinePlot(
        title=panel.title,
        x=panel.x,
        y=list(panel.names),
        # Where several settings differ, the view groups the runs, because a panel groups by one setting
        groupby=wr.Config(dashboard.groups[0]) if len(dashboard.groups) == 1 else None,
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        plot_type="stacked-area" if panel.kind == "shares" else "line",
        smoothing_type="none",
        max_runs_to_show=MOST_RUNS,
        layout=layout,
    )
