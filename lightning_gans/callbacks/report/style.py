"""The style sheet of the page about a run, for phones and wide screens, light and dark."""

STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1d2229;--soft:#5c6670;--line:#dfe3e8;--link:#1f66b3;
--good:#1b7f4d;--bad:#b3361e;--calm:#5c6670}
@media(prefers-color-scheme:dark){:root{--page:#101418;--card:#181d23;--text:#e4e8ec;--soft:#9aa5b0;--line:#2b333b;
--link:#7db5f0;--good:#54c48b;--bad:#f08a74;--calm:#9aa5b0}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1160px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:28px 0 10px}
h3{font-size:1rem;margin:0 0 6px}
p{margin:0 0 8px}
p,li{overflow-wrap:anywhere}
a{color:var(--link)}
.soft,figcaption{color:var(--soft);font-size:.875rem}
.pill{display:inline-block;border:1px solid currentColor;border-radius:14px;padding:1px 12px;font-size:.875rem;
font-weight:600;margin-top:8px}
.good{color:var(--good)}.bad{color:var(--bad)}.calm{color:var(--calm)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px;margin:0;min-width:0}
.grid{display:grid;gap:16px;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr))}
.strip{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(min(calc(50% - 6px),230px),1fr))}
.strip figure{padding:10px}
.strip img{width:100%;height:auto;display:block;border-radius:5px;background:#fff}
.chart svg{width:100%;height:auto;display:block;color:var(--text)}
figcaption{margin-top:6px}
.chart{padding:12px}.chart figcaption{font-size:.75rem;line-height:1.4}
details{margin-bottom:12px}
dl{display:grid;gap:12px 24px;grid-template-columns:repeat(auto-fill,minmax(130px,1fr));margin:0}
dt{color:var(--soft);font-size:.8125rem}
dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
dl.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr))}
.verdict{border-left:5px solid currentColor}
.verdict>p:not(.soft),.verdict>ul{color:var(--text)}
.verdict h3{font-size:1.1rem}.verdict>:last-child{margin-bottom:0}
.verdict ul{margin:0 0 10px;padding-left:22px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th,td{text-align:left;padding:6px 18px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;font-size:.8125rem}
td.number,th.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
tr:last-child td{border-bottom:0}
pre{margin:0;overflow-x:auto;font:13px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.command{background:var(--page);border-radius:6px;padding:8px 10px;margin:0 0 12px}
summary{cursor:pointer;font-weight:600}
details[open] summary{margin-bottom:12px}
"""
