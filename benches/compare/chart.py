"""Draws the figures of a comparison: for each case a bar for each relay, as long as its part of bare loopback's rate."""

from xml.sax.saxutils import escape

COLOURS = {"mailsluice": "#0b7285", "mailsluice-dkim": "#3bc9db", "postfix": "#868e96", "opensmtpd": "#adb5bd", "exim": "#ced4da"}
LEFT, WIDTH, BAR, GAP, HEAD = 150, 480, 16, 36, 76


def text(x, y, words, size=12, more=""):
    return f'<text x="{x}" y="{y}" font-size="{size}" {more}>{escape(words)}</text>'


def draw(report, preface):
    """The SVG. Without bare loopback in a case the fastest relay is the whole length."""
    parts, y = [], HEAD
    for case in report["cases"]:
        relays = {name: relay for name, relay in case["relays"].items() if name != "loopback"}
        limit = case["relays"].get("loopback")
        whole = limit["median"]["delivered"] if limit else max(relay["median"]["delivered"] for relay in relays.values())
        said = f"{case['title']}: bare loopback {whole:,.0f} a second" if limit else case["title"]
        parts.append(text(12, y, said, 13, 'font-weight="bold"'))
        top = y + 8
        for name, relay in relays.items():
            rate = relay["median"]["delivered"]
            length = WIDTH * rate / whole
            y += BAR + 4
            parts.append(text(LEFT - 8, y, relay["title"], more='text-anchor="end"'))
            parts.append(f'<rect x="{LEFT}" y="{y - BAR + 4}" width="{length:.1f}" height="{BAR}" fill="{COLOURS[name]}"/>')
            parts.append(text(f"{LEFT + length + 6:.1f}", y, f"{rate:,.0f}/s, {rate / whole:.0%}" if limit else f"{rate:,.0f}/s"))
        parts.append(f'<line x1="{LEFT + WIDTH}" x2="{LEFT + WIDTH}" y1="{top}" y2="{y + 6}" stroke="#c92a2a" stroke-dasharray="4 3"/>')
        y += GAP
    width = LEFT + WIDTH + 130
    heading = text(12, 22, "Messages delivered a second; the dashed line is the client straight to the sink", 15, 'font-weight="bold"')
    machine, rest = preface.split("; ", 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
        f'font-family="system-ui, sans-serif" fill="#212529"><rect width="100%" height="100%" fill="white"/>\n{heading}\n'
        + text(12, 38, machine, 10) + "\n" + text(12, 50, rest, 10) + "\n" + "\n".join(parts) + "\n</svg>\n"
    )
