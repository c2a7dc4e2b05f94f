"""What has to stand in the page."""

import json
from contextlib import contextmanager

from browser import Browser
from star import END, Star

HOSTILE = "<img src=x onerror=document.title='owned'>"
TABLE = "[...document.querySelectorAll('#list tbody tr')].map(r => [...r.children].map(c => c.textContent))"


@contextmanager
def page(hub, program, names, more="", traffic=None, settings="", **look):
    with Star(hub, names, more, settings) as star, Browser(program) as browser:
        if traffic:
            traffic(star)
        browser.look(**look)
        browser.open(star.page)
        browser.wait("the first rates", "document.querySelector('.hub .rate')?.textContent.endsWith('B/s')")
        yield star, browser
        quiet(star, browser)


def quiet(star, browser):
    assert not browser.errors, f"the page complains: {browser.errors}"
    elsewhere = [url for url in browser.requests if not url.startswith((star.page, "about:"))]
    assert not elsewhere, f"asked elsewhere: {elsewhere}"
    assert len(browser.requests) > 10, browser.requests


def numbers(first, many):
    return [f"{first + n}{END}" for n in range(many)]


def equal(seen, wanted):
    assert seen == wanted, f"{seen!r}, wanted {wanted!r}"


def save(browser, keep, name):
    if keep:
        browser.picture(keep / f"{name}.png")


def rows(browser):
    return {row[0]: row[1:] for row in browser.js(TABLE)}


def three(hub, program, keep):
    """Who talks to whom, in lines as thick as the traffic; states; refusals; selection by mouse and keys."""

    def traffic(star):
        star.call(0, "10000.fate.org", 400_000, 16)
        star.call(1, "9999.fate.org", 400_000, 16)
        star.call(2, "9999.fate.org", 4_000, 2)
        star.try_call(2, "1234.fate.org")
        star.try_call(1, "shut.fate.org")
        star.try_call(0, "gone.fate.org")

    names = ["9999.fate.org", "10000.fate.org", "10001.fate.org"]
    more = (
        "- fqdn: shut.fate.org\n  tunnel_route: 127.2.0.1:1\n  ip_allow: 192.0.2.1\n"
        "- fqdn: gone.fate.org\n  tunnel_route: 127.2.0.2:1\n- fqdn: idle.fate.org\n  tunnel_route: 127.2.0.3:1\n"
    )
    for dark in (False, True):
        with page(hub, program, names, more, traffic, dark=dark) as (star, browser):
            seen = rows(browser)
            states = {name: row[0] for name, row in seen.items()}
            equal(states, {
                "9999.fate.org": "up", "10000.fate.org": "refused", "10001.fate.org": "up",
                "shut.fate.org": "refused", "gone.fate.org": "failing", "idle.fate.org": "idle",
            })  # fmt: skip
            equal(seen["9999.fate.org"][1], "34")
            equal(browser.js("document.querySelectorAll('.nodes [role=button]').length"), 6)
            labels = browser.js("[...document.querySelectorAll('.nodes .label')].map(l => l.textContent)")
            equal(labels, ["9999", "10000", "10001", "shut", "gone", "idle"])
            assert "names end in .fate.org" in browser.js("document.getElementById('scale').textContent")
            thick = "[...document.querySelectorAll('.pairs path')].map(p => [p.textContent.split(':')[0], +p.getAttribute('stroke-width')])"
            lines = dict(browser.js(thick))
            busy, slow = lines["10000.fate.org and 9999.fate.org"], lines["10001.fate.org and 9999.fate.org"]
            assert busy > 12 and slow < 4, lines
            equal(browser.js("getComputedStyle(document.body).backgroundColor"), "rgb(17, 21, 27)" if dark else "rgb(245, 246, 248)")
            refused = browser.js("[...document.querySelectorAll('#refusals article')].map(a => a.innerText)")
            for who, name, why in (
                ("10001.fate.org", "1234.fate.org", "no route for this server name"),
                ("10000.fate.org", "shut.fate.org", "not in the route's ip_allow"),
                ("9999.fate.org", "gone.fate.org", "is the upstream running"),
            ):
                assert any(f"{who} asked for {name}" in one and why in one for one in refused), (name, refused)
            save(browser, keep, f"three-{'dark' if dark else 'light'}")
            select(browser)
            save(browser, keep, f"three-chosen-{'dark' if dark else 'light'}")
            reload_refused(star, browser)
            save(browser, keep, f"three-reload-{'dark' if dark else 'light'}")


def select(browser):
    """By keys alone: around the star, one of them, and back."""
    browser.js("document.querySelector('.nodes [tabindex=\"0\"]').focus()")
    browser.press("ArrowRight")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert browser.js(focused).startswith("10000.fate.org: refused, 32 tunnels"), browser.js(focused)
    browser.press("Enter")
    browser.wait("the party", "!document.getElementById('party').hidden")
    text = browser.js("document.getElementById('party').innerText")
    for part in ("calls 9999.fate.org", "called by 9999.fate.org", "(sni.yaml:4)", "calls shut.fate.org"):
        assert part in text, (part, text)
    equal(browser.js("document.querySelectorAll('.pairs .chosen').length"), 2)
    assert browser.js(focused).startswith("10000"), "the next reading must not take the focus away"
    browser.press("Escape")
    equal(browser.js("document.getElementById('party').hidden"), True)
    browser.js("document.querySelector('#list tbody button').click()")
    equal(browser.js("document.getElementById('party').hidden"), False)
    browser.js("document.getElementById('back').click()")


def reload_refused(star, browser):
    star.edit(star.routes + f"- fqdn: \"{HOSTILE}\"\n  tunnel_route: \"<b>bold</b>\"\n")
    browser.wait("the refused reload", "document.querySelector('#notices li') !== null")
    text = browser.js("document.getElementById('notices').innerText")
    assert "was refused" in text and "<b>bold</b>" in text, text
    equal(browser.js("document.querySelectorAll('#notices b, #notices img').length"), 0)
    star.edit(star.routes)
    browser.wait("the good file", "!document.querySelector('#notices li')")


def added(hub, program, keep):
    """A party that is added while somebody looks is there by itself, and so is its first call; removed, it is gone."""
    names = numbers(9999, 3)
    new = names[2]
    files = ("--config", "hub.yaml", "--routes", "sni.yaml")
    without = lambda star: star.edit(star.routes.split(f"- fqdn: {new}")[0])
    with page(hub, program, names, "", without) as (star, browser):
        browser.wait("the two", "document.querySelectorAll('.nodes [role=button]').length == 2")
        star.command("pki", "init", "--domain", END[1:], "--plain-key")
        said = star.command("party", "add", new, "--route", star.targets[2], *files)
        assert "has the route (generation" in " ".join(said.split()), said
        browser.wait("the third", "document.querySelectorAll('.nodes [role=button]').length == 3")
        equal(rows(browser)[new][0], "idle")
        star.call(2, names[0], 4_000)
        star.call(0, new, 4_000)
        lines = "[...document.querySelectorAll('.pairs path')].map(p => p.textContent.split(':')[0])"
        browser.wait("its calls", f"{lines}.includes('{new} and {names[0]}')")
        browser.wait("that it is up", f"{TABLE}.some(r => r[0] == '{new}' && r[1] == 'up')")
        save(browser, keep, "added")
        star.command("party", "remove", new, "--end-tunnels", *files)
        browser.wait("two again", f"{TABLE}.length == 2")


def many(hub, program, keep):
    """60 parties: every one has its place and its label, nothing lies outside; on a phone, too."""
    names = numbers(10000, 60)
    looks = {
        "light": {}, "dark": {"dark": True}, "phone": {"width": 390, "height": 844, "phone": True, "dark": True},
        "wide": {"width": 1920, "height": 1080},
    }  # fmt: skip
    for name, look in looks.items():
        with page(hub, program, names, "", lambda star: star.busy(7, 140, 60_000), **look) as (_, browser):
            equal(browser.js("document.querySelectorAll('.nodes [role=button]').length"), 60)
            browser.wait("lines that move", "document.querySelectorAll('.pairs [data-moves=true]').length > 100")
            equal(len(rows(browser)), 60)
            outside = """(() => { const box = document.getElementById('drawing').getBoundingClientRect();
                return [...document.querySelectorAll('.nodes text')].filter(t => t.textContent).map(t => t.getBoundingClientRect())
                .filter(r => r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1).length })()"""
            equal(browser.js(outside), 0)
            equal(browser.js("document.documentElement.scrollWidth <= innerWidth"), True)
            save(browser, keep, f"many-{name}")


def dozen(hub, program, keep):
    """The picture of README.md."""

    def traffic(star):
        star.busy(3, 46, 700_000, 3_000)
        star.try_call(3, "10044.fate.org")
        star.try_call(7, "10044.fate.org")
        star.try_call(5, "10011.fate.org")
        star.try_call(5, "10011.fate.org")

    names = numbers(10000, 11)
    with page(hub, program, names, "- fqdn: 10011.fate.org\n  tunnel_route: 127.2.0.2:6651\n", traffic) as (_, browser):
        equal(rows(browser)["10011.fate.org"][0], "failing")
        browser.wait("two of one kind are one", "document.getElementById('refusals').innerText.includes('×2')")
        save(browser, keep, "star")


def strangers(hub, program, keep):
    """Names are text: from sni.yaml by a real hub, and whatever an answer could hold."""
    more = f"- fqdn: \"{HOSTILE}\"\n  tunnel_route: 127.2.0.1:1\n"
    with page(hub, program, numbers(10000, 3), more, lambda star: star.call(0, "10001.fate.org")) as (star, browser):
        untouched = "document.title.startsWith('snihub') && !document.querySelector('main img, main b:not(#legend b), main script')"
        assert HOSTILE in rows(browser), rows(browser)
        equal(browser.js(untouched), True)
        ask = lambda path: json.loads(browser.js(f"fetch('{path}').then(a => a.text())"))
        status, table = ask("api/status"), ask("api/routes")
        names = [HOSTILE, "</title><script>document.title='owned'</script>", "\u202egro.live", "a\nb", "x" * 5000, "", "__proto__"]
        for route, name in zip(table["routes"] * 2, names):
            table["links"].append({**table["links"][0], "party": name, "route": name})
            table["routes"].append({**route, "id": name, "target": name})
        late = {
            "at_unix_ms": 1, "session": "0", "source": HOSTILE, "party": None, "route": HOSTILE, "target": HOSTILE,
            "reason": HOSTILE, "by": HOSTILE,
        }  # fmt: skip
        late = [{**late, "name": name, "why": name} for name in names]
        status |= {"not_ready": HOSTILE, "ready": False, "relay": "copy", "relay_why": HOSTILE, "version": status["version"]}
        browser.answer_with({"/api/status": status, "/api/routes": table, "/api/refusals": {"refusals": late}})
        browser.wait("the answers", "document.querySelectorAll('#refusals article').length == 7")
        equal(browser.js(untouched), True)
        text = browser.js("document.body.textContent")
        assert HOSTILE in text and "\u202e" not in text, "a turn of the direction of writing"
        equal(browser.js("document.documentElement.scrollWidth <= innerWidth"), True)
        for place in range(len(rows(browser))):
            browser.js(f"document.querySelectorAll('#list tbody button')[{place}].click()")
            equal(browser.js(untouched), True)
            browser.js("document.getElementById('back').click()")
        save(browser, keep, "strangers")


def probed(hub, program, keep):
    """What the hub's own probes found: a party that fails, days left, and a wildcard that is good for all."""
    more = "- fqdn: down.fate.org\n  tunnel_route: 127.2.0.9:1\n"
    settings = "probe: {kind: tls, interval: 1s}\n"
    with page(hub, program, numbers(10000, 3), more, settings=settings) as (star, browser):
        browser.wait("the notice", "document.querySelectorAll('#notices li').length == 3")
        text = browser.js("document.getElementById('notices').innerText")
        assert "RFC 9113" in text and "10000.fate.org: also 10001.fate.org, 10002.fate.org" in text, text
        browser.wait("one that fails", "document.querySelector('#list tbody tr').innerText.includes('failing')")
        equal(rows(browser)["down.fate.org"][0], "failing")
        equal(rows(browser)["10001.fate.org"][0], "idle")
        detail = "document.getElementById('detail').innerText"
        choose = lambda name: browser.js(
            f"[...document.querySelectorAll('#list tbody button')].find(b => b.textContent == '{name}').click()"
        )
        choose("down.fate.org")
        for part in ("own probe fails", "refused the connection"):
            assert part in browser.js(detail), (part, browser.js(detail))
        browser.js("document.getElementById('back').click()")
        choose("10001.fate.org")
        for part in ("tls: up since", "1 day left", "for *.fate.org", "10000.fate.org, 10002.fate.org, down.fate.org, too"):
            assert part in browser.js(detail), (part, browser.js(detail))
        save(browser, keep, "probed")


def gone(hub, program, keep):
    """A hub that does not answer any more is said to be so, and one that comes back is taken up."""
    with Star(hub, numbers(10000, 3)) as star, Browser(program) as browser:
        browser.look()
        browser.open(star.page)
        browser.wait("ready", "document.getElementById('state')?.textContent == 'ready'")
        quiet(star, browser)
        star.stop_hub()
        browser.wait("that it is gone", "document.getElementById('notices').innerText.includes('does not answer since')")
        text = browser.js("document.getElementById('notices').innerText")
        assert "nothing listens there any more" in text and "as of" in text, text
        equal(browser.js("document.getElementById('state').textContent"), "does not answer")
        equal(browser.js("document.title"), "snihub: does not answer")
        save(browser, keep, "gone")


def socket(hub, program, keep):
    """By the unix socket, as `ssh -L` leads to it: a page from elsewhere cannot use it."""
    import subprocess

    with Star(hub, numbers(10000, 1)) as star:
        path = f"{star.folder.name}/admin.sock"
        curl = lambda *words: subprocess.run(
            ["curl", "-q", "-s", "-i", "-m", "20", "--unix-socket", path, *words], capture_output=True, text=True
        ).stdout
        answer = curl("http://localhost/")
        assert answer.startswith("HTTP/1.1 200") and "<title>snihub</title>" in answer, answer[:300]
        for header in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
            assert header in answer, answer[:900]
        assert curl("http://evil.example/api/status").startswith("HTTP/1.1 421")
        forged = curl("-X", "POST", "-H", "Origin: http://evil.example", "http://localhost/api/reload")
        assert forged.startswith("HTTP/1.1 403"), forged
        assert curl("-X", "POST", "http://localhost/api/reload").startswith("HTTP/1.1 200")


ALL = {
    "three": three, "added": added, "many": many, "dozen": dozen, "strangers": strangers, "probed": probed, "gone": gone,
    "socket": socket,
}  # fmt: skip
