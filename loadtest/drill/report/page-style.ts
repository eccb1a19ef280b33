export const PAGE_STYLE = `
:root { --ink: #1b2430; --quiet: #64707f; --line: #dfe4ea; --paper: #ffffff; --soft: #f5f7f9; --good: #1d7f4e; --bad: #b3261e; --warn: #9a6700; --mark: #2457b3; --mark-soft: #9db8e4; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --quiet: #95a1b0; --line: #303945; --paper: #12171d; --soft: #1a2129; --good: #52c58c; --bad: #ff8a80; --warn: #e3b341; --mark: #7aa7f0; --mark-soft: #35507c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 24px 64px; }
header { margin-bottom: 24px; }
.over { margin: 0; color: var(--quiet); font-size: 13px; letter-spacing: .06em; text-transform: uppercase; }
h1 { margin: 2px 0 8px; font-size: 30px; font-weight: 650; letter-spacing: -.01em; }
h2 { margin: 36px 0 8px; font-size: 18px; font-weight: 650; }
h3 { margin: 18px 0 4px; font-size: 15px; }
p { margin: 4px 0 10px; max-width: 78ch; }
.quiet, small { color: var(--quiet); }
.quiet { font-size: 13.5px; }
.verdict { display: inline-block; vertical-align: 5px; margin-left: 6px; padding: 2px 10px; border-radius: 999px; font-size: 13px; font-weight: 650; color: var(--paper); background: var(--warn); }
.verdict.passed { background: var(--good); } .verdict.failed { background: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(155px, 1fr)); gap: 12px; }
.tile { padding: 12px 14px; border: 1px solid var(--line); border-radius: 8px; background: var(--soft); }
.tile b { display: block; font-size: 22px; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: 13px; } .tile small { font-size: 12px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--quiet); font-size: 12.5px; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bad, tr.bad td { color: var(--bad); } tr.bad td:first-child { font-weight: 650; white-space: nowrap; }
tr.mark td { color: var(--mark); font-weight: 600; }
.wide { overflow-x: auto; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); font: 12px system-ui, "DejaVu Sans", sans-serif; } svg .q { fill: var(--quiet); } svg .b { fill: var(--bad); }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--quiet); } svg .limit { stroke: var(--bad); stroke-dasharray: 4 3; }
svg .dot { fill: var(--mark); fill-opacity: .45; } svg .p50 { stroke: var(--mark); stroke-width: 2; } svg .p99 { stroke: var(--mark); stroke-width: 3; }
svg .line { stroke: var(--mark); stroke-width: 1.6; fill: none; } svg .wait { stroke: var(--mark-soft); stroke-width: 3; } svg .never { stroke: var(--bad); stroke-width: 1.6; } svg .fault { stroke: var(--bad); stroke-width: 1.5; }
summary { cursor: pointer; margin-top: 28px; font-weight: 650; }
footer { margin-top: 40px; padding-top: 12px; border-top: 1px solid var(--line); }
a { color: var(--mark); }
`;
