"""Find pages of the site that are wider than a screen: ``python docs/check_widths.py FOLDER``, with Chromium installed.

Each page is opened in a frame of 390 and of 1,400 pixels. It is too wide if it scrolls sideways, on a narrow screen if
an element sticks out that is not in a box which scrolls by itself, on a wide one if any such box is needed.
"""

import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (390, WIDE := 1400)
PER_CALL = 25  # pages, so that the browser ends before its time is over
SCRIPT = """<!doctype html><body><script>
const pages = PAGES, width = WIDTH, wide = WIDE;
const name = (element) => element.tagName.toLowerCase() + (element.className ? "." + element.className : "");
const scrolls = (e, w) => e && e.tagName !== "ARTICLE" &&
  (["auto", "scroll"].includes(w.getComputedStyle(e).overflowX) || scrolls(e.parentElement, w));
const measure = (page) => new Promise((done) => {
  const frame = document.body.appendChild(document.createElement("iframe"));
  Object.assign(frame, { width, height: 900, src: page });
  frame.onload = () => setTimeout(() => {
    const w = frame.contentWindow, root = w.document.documentElement;
    const out = [...w.document.querySelectorAll("article *")].filter((e) => width < wide
      ? e.getBoundingClientRect().right > width && !scrolls(e.parentElement, w)
      : e.scrollWidth > e.clientWidth + 1 && ["auto", "scroll", "hidden"].includes(w.getComputedStyle(e).overflowX));
    done([page, Math.max(root.scrollWidth, w.document.body.scrollWidth), out.slice(0, 3).map(name)]);
    frame.remove();
  }, 50);
});
(async () => {
  const found = [];
  for (const page of pages) found.push(await measure(page));
  document.body.textContent = "RESULT" + JSON.stringify(found) + "END";
})();
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site, and the script as a page beside it."""

    def do_GET(self):
        """Answer with a file of the site, or with the script for the pages and the width in the query."""
        path, _, query = self.path.partition("?")
        if path == "/measure":
            width, first = map(int, query.split("-"))
            pages = json.dumps(find_pages(Path(self.directory))[first : first + PER_CALL])
            script = SCRIPT.replace("PAGES", pages).replace("WIDTH", str(width)).replace("WIDE", str(WIDE))
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(script.encode())
        else:
            super().do_GET()

    def log_message(self, *_):
        """Log nothing."""


def find_pages(folder):
    """Return the pages of the site, without those of its theme."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html") if path.parent.name[0] != "_")


def main():
    """Print the pages that are too wide, and return whether there are any."""
    folder = Path(sys.argv[1])
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    n_pages, n_wide = len(find_pages(folder)), 0
    for width in WIDTHS:
        for first in range(0, n_pages, PER_CALL):
            address = f"http://127.0.0.1:{server.server_port}/measure?{width}-{first}"
            options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000", "--dump-dom"]
            page = subprocess.run([browser, *options, address], capture_output=True, text=True, check=True).stdout
            for name, found, elements in json.loads(re.search(r"RESULT(\[.*\])END", page, re.DOTALL)[1]):
                if found > width or elements:
                    n_wide += 1
                    print(f"{name} is {found} pixels wide at {width}: {', '.join(elements)}")
    print(f"{n_pages} pages at {' and '.join(map(str, WIDTHS))} pixels: {n_wide} too wide")
    return bool(n_wide)


if __name__ == "__main__":
    sys.exit(main())
