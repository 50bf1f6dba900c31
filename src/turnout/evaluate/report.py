"""A scoreboard as one HTML file that needs nothing else: no script, no font, no network. Floor 6."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import msgspec
from msgspec import Struct

from turnout.evaluate.metrics import Interval
from turnout.evaluate.plots import DARK_STYLE, FIXED_STYLE, LIGHT_STYLE, standalone
from turnout.evaluate.report_charts import charts
from turnout.evaluate.scoreboard_types import Difference, Line, Place, Scoreboard

STYLE = """
:root{color-scheme:light dark;
--ink:#1c1917;--soft:#57534e;--line:#e2e0dd;--paper:#fff;--good:#047857;--bad:#c2410c}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:1080px;margin:0 auto;padding:24px 20px 64px}
h1{font-size:26px;margin:8px 0}h2{font-size:19px;margin:36px 0 8px}p{max-width:72ch}.soft{color:var(--soft)}
figure{margin:16px 0;overflow-x:auto}figcaption{color:var(--soft);max-width:80ch}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:4px 12px 4px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}thead th{color:var(--soft);font-weight:600}
tr.router td{font-weight:700}.better{color:var(--good)}.worse{color:var(--bad)}
code,pre{font:13px ui-monospace,monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);border-radius:6px;padding:10px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px}dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}svg.chart{max-width:100%;height:auto}
"""
DARK = """@media (prefers-color-scheme:dark){:root{--ink:#ece9e6;--soft:#b8b2ab;--line:#3d3a37;
--paper:#181716;--good:#4cd3a2;--bad:#fb9660}%s}"""
NONE = "–"


class Extra(Struct, frozen=True, kw_only=True):
    """What the report shows and the scoreboard does not hold."""

    prompts: Mapping[str, str] = {}
    """Prompt id -> words; only where they were asked for."""
    timing: str = ""
    """How long decisions took on this machine."""


def to_json(board: Scoreboard) -> bytes:
    """Return a scoreboard as JSON: equal scoreboards give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(board, order="sorted"), indent=2) + b"\n"


def to_html(board: Scoreboard, extra: Extra | None = None) -> str:
    """Return the report."""
    extra = extra or Extra()
    drawn = charts(board)
    title = f"{escape(board.router.name)} on {escape(', '.join(board.data.files))}"
    style = STYLE + FIXED_STYLE + LIGHT_STYLE + DARK % DARK_STYLE
    parts = [
        _head(board, title),
        *_figures(drawn, ("cost-quality", "cost-quality-log", "deferral")),
        _policies(board),
        _curves(board),
        _two(board),
        _differences(board.differences),
        *_figures(drawn, ("differences",)),
        _places("By domain, the worst first", board.domains),
        *_figures(drawn, ("domains",)),
        _places("By cluster of similar prompts, the worst first", board.clusters),
        *_figures(drawn, ("calibration",)),
        _forecasts(board),
        _fits(board),
        _decisions(board, extra),
        _made(board, extra),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def to_pngs(board: Scoreboard) -> dict[str, bytes]:
    """Return each chart as PNG, by the name of its file.

    Raises:
        ModuleNotFoundError: The extra `plots` is not installed.
    """
    from resvg_py import svg_to_bytes  # noqa: PLC0415  an extra

    return {
        f"{name}.png": bytes(svg_to_bytes(svg_string=standalone(svg), zoom=2))
        for name, svg in charts(board).items()
    }


def _head(board: Scoreboard, title: str) -> str:
    data, router = board.data, board.lines[0]
    facts = (
        f"{data.n_evaluated:,} items reported on ({data.coverage:.1%} of {data.n_test:,}), "
        f"{data.n_train:,} learned from, {len(data.models)} models, protocol {data.protocol}"
    )
    said = [
        f"<h1>{title}</h1>",
        f'<p class="soft">{escape(facts)}</p>',
        f"<p>Mean score <b>{_interval(router.quality)}</b>"
        + (f" at <b>${1000 * router.cost_usd:.4g}</b> per 1,000 items" if router.cost_usd is not None else "")
        + f". {escape(_sentence(board))}</p>",
    ]
    if board.router.abstained:
        said.append(f"<p><b>It abstained:</b> {escape(board.router.abstained)}</p>")
    if board.gap is not None:
        said.append(f"<p>Gap between strong and weak model: {_interval(board.gap)}.</p>")
    if data.coverage < 1:
        low, high = board.bounds
        said.append(f"<p>With everything not recorded as 0 or as 1: {low:.4f} to {high:.4f}.</p>")
    if board.partial:
        said.append(f"<p><b>Partial:</b> no time for {escape(', '.join(board.partial))}.</p>")
    said += [f"<p><b>Not given:</b> {escape(why)}</p>" for why in board.refused]
    return "".join(said)


def _sentence(board: Scoreboard) -> str:
    found = next((d for d in board.differences if d.minus == "best single" and d.of == "quality"), None)
    if found is None:
        return ""
    if found.verdict == "no difference":
        return f"No difference from the best single model ({board.best_single}) is shown."
    return f"That is {found.verdict} than the best single model ({board.best_single})."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], router: str = "") -> str:
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = []
    for row in rows:
        kind = ' class="router"' if router and row[0] == escape(router) else ""
        body.append(f"<tr{kind}>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>")
    inside = f"<thead><tr>{cells}</tr></thead><tbody>{''.join(body)}</tbody>"
    return f'<div class="wide"><table>{inside}</table></div>'


def _figures(drawn: Mapping[str, str], names: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        if name in drawn:
            about = drawn[name].partition("<desc>")[2].partition("</desc>")[0]
            found.append(f"<figure>{drawn[name]}<figcaption>{about}</figcaption></figure>")
    return found


def _policies(board: Scoreboard) -> str:
    head = (
        "policy", "mean score", "USD / 1,000", "strong share", "models", "entropy", "V_B", "V_R", "PGR",
        "regret", "Arena-S", "Opt.Sel", "Opt.Cost", "Opt.Acc", "Gain@R", "Gain@B", "Gap@O",
    )  # fmt: skip
    rows = [_policy(line) for line in (*board.lines, *board.singles)]
    return f"<h2>Policies on the same items</h2>{_table(head, rows, board.router.name)}"


def _policy(line: Line) -> tuple[str, ...]:
    return (
        escape(line.name),
        _interval(line.quality),
        _number(None if line.cost_usd is None else 1000 * line.cost_usd),
        _number(line.strong_share),
        NONE if line.models_used is None else str(line.models_used),
        *(_number(each) for each in (line.entropy, line.v_best, line.v_reference, line.pgr, line.regret)),
        _number(None if line.arena is None else line.arena.score),
        *(_number(each) for each in _optimal(line)),
        *(_number(each) for each in _gains(line)),
    )


def _optimal(line: Line) -> tuple[float | None, float | None, float | None]:
    best = line.optimal
    return (None, None, None) if best is None else (best.selected, best.cost, best.accuracy)


def _gains(line: Line) -> tuple[float | None, float | None, float | None]:
    gains = line.gains
    return (None, None, None) if gains is None else (gains.at_random, gains.at_best, gains.at_oracle)


def _curves(board: Scoreboard) -> str:
    if not board.curves:
        return ""
    head = (
        "policy", "AIQ-range", "AIQ-range (log)", "AIQ-repo", "AUDC", "QNC", "peak", "USD / 1,000 at 95 %",
        "PerfGain", "CostSave", "ParetoDist",
    )  # fmt: skip
    rows = [
        (
            escape(c.name),
            *(_number(x) for x in (c.aiq_range, c.aiq_range_log, c.aiq_repo, c.audc, c.qnc, c.peak)),
            _number(None if c.cost_at_95 is None else 1000 * c.cost_at_95),
            *(_number(x) for x in (c.perf_gain, c.cost_save, c.pareto_distance)),
        )
        for c in board.curves
    ]
    note = (
        "AIQ-range is the mean height of the hull between the cheapest and the dearest single model: "
        "comparable between routers. AIQ-repo is the published code's convention: it is not."
    )
    table = _table(head, rows, board.router.name)
    return f'<h2>As the price of money is swept</h2><p class="soft">{note}</p>{table}'


def _two(board: Scoreboard) -> str:
    if not board.two_models:
        return ""
    head = (
        "policy",
        "APGR",
        "APGR-10",
        "APGR quantiles",
        "CPT(50)",
        "CPT(80)",
        "CPT(50) interp",
        "CPT(80) interp",
    )
    rows = [
        (
            escape(t.name),
            _interval(t.apgr),
            *(_number(x) for x in (t.apgr_10, t.apgr_quantiles, t.cpt_50, t.cpt_80)),
            *(_number(x) for x in (t.cpt_50_interp, t.cpt_80_interp)),
        )
        for t in board.two_models
    ]
    pair = f"{escape(board.data.strong or '')} against {escape(board.data.weak or '')}"
    return f"<h2>Two models: {pair}</h2>{_table(head, rows, board.router.name)}"


def _differences(differences: Sequence[Difference]) -> str:
    if not differences:
        return ""
    rows = [(f"router − {escape(d.minus)}", d.of, _interval(d.value), _word(d.verdict)) for d in differences]
    return (
        f"<h2>Differences, paired</h2>{_table(('difference', 'of', 'with 95 % interval', 'verdict'), rows)}"
    )


def _places(title: str, places: Sequence[Place]) -> str:
    if not places:
        return ""
    rows = [
        (
            escape(p.name),
            f"{p.n:,}",
            *(_number(x) for x in (p.quality, p.best_single, p.oracle)),
            _interval(p.difference),
            _word(p.verdict),
            _number(None if p.cost_usd is None else 1000 * p.cost_usd),
            escape(p.most_used),
        )
        for p in places
    ]
    head = (
        "place",
        "n",
        "router",
        "best single",
        "oracle",
        "difference",
        "verdict",
        "USD / 1,000",
        "most used",
    )
    return f"<h2>{title}</h2>{_table(head, rows)}"


def _forecasts(board: Scoreboard) -> str:
    if not board.forecasts:
        return ""
    head = ("policy", "Brier", "ECE", "gap-Brier", "gap-ECE near the boundary", "gap-AUC")
    rows = [
        (escape(f.name), *(_number(x) for x in (f.brier, f.ece, f.gap.brier, f.gap.ece_near, f.gap.auc)))
        for f in board.forecasts
    ]
    return f"<h2>Predictions</h2>{_table(head, rows, board.router.name)}"


def _fits(board: Scoreboard) -> str:
    rows = [
        (
            name,
            f"{fit.n:,}",
            *(f"{x:.4g}" for x in (fit.pinball_50, fit.pinball_90)),
            *(_number(x) for x in (fit.coverage_50, fit.coverage_90, fit.log_bias)),
        )
        for name, fit in (("cost (USD)", board.cost_fit), ("latency (s)", board.latency_fit))
        if fit is not None
    ]
    head = ("of", "n", "pinball .5", "pinball .9", "coverage of 50 %", "coverage of 90 %", "log bias")
    return f"<h2>Training quantiles against what was recorded</h2>{_table(head, rows)}" if rows else ""


def _decisions(board: Scoreboard, extra: Extra) -> str:
    if not board.decisions:
        return ""
    rows = [
        (
            escape(extra.prompts.get(d.prompt_id, "")[:160] or f"{d.prompt_id} {d.item}"),
            f"<code>{escape(msgspec.json.encode(d.plan).decode())[:120]}</code>",
            escape(d.reason),
            escape(d.answered_by or NONE),
            _number(d.score),
        )
        for d in board.decisions
    ]
    head = ("item", "plan", "reason", "answered by", "score")
    return f"<h2>Some decisions</h2>{_table(head, rows)}"


def _made(board: Scoreboard, extra: Extra) -> str:
    data, router = board.data, board.router
    rows = {
        **{f"data: {name}": sha for name, sha in data.files.items()},
        "prices": data.prices,
        "training items left out (overlap)": str(data.overlap_excluded),
        "router": f"{router.kind} {router.strategy}",
        "digest": router.digest,
        "card": router.card,
        "encoder of baselines": router.encoder,
        "λ": "" if router.price is None else f"{router.price:g} per USD",
        "escalated": "" if board.escalated is None else f"{board.escalated:.1%}",
        "decision time": extra.timing,
        "Turnout": board.turnout_version,
    }
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows.items() if v)
    warned = "".join(f"<li>{escape(text)}</li>" for text in board.warnings)
    return f"<h2>How this was made</h2><pre>{escape(board.command)}</pre><dl>{listed}</dl>" + (
        f"<h2>Warnings about the data</h2><ul>{warned}</ul>" if warned else ""
    )


def _interval(value: Interval) -> str:
    return f"{value.mean:.4f} [{value.low:.4f}, {value.high:.4f}]"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _word(verdict: str) -> str:
    kind = f' class="{verdict}"' if verdict in ("better", "worse") else ""
    return f"<span{kind}>{verdict}</span>"
