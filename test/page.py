#!/usr/bin/env python3
"""Serves the pages and the metrics of the extension on 127.0.0.1, with psql and Python's standard library.

    page.py [--port N] [--port-file FILE] [--refresh SECONDS] [--psql PROGRAM] [CONNECTION]

    /                      webhook.status_page(), with ?webhook_id=N that of one webhook
    /reactivate?token=T    webhook.reactivation_page(); its buttons POST here, which activates the webhook
    /metrics               webhook.metrics()

The role of the connection decides what is seen.  Who may see it is for a web server in front to decide.
"""

import argparse
import http.server
import subprocess
import urllib.parse

HTML = "text/html; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Handler(http.server.BaseHTTPRequestHandler):
    def query(self, sql, **values):
        """The result, or None if the statement fails.  psql quotes the values."""
        command = [options.psql, "-XAtq", "-v", "ON_ERROR_STOP=1"]
        for name, value in values.items():
            command += ["-v", name + "=" + value.replace("\0", "")]
        done = subprocess.run(command + options.connection, input=sql, stdout=subprocess.PIPE, encoding="utf-8")
        return done.stdout if done.returncode == 0 else None

    def answer(self, text, kind=HTML, status=200, location=None):
        body = "not available\n".encode() if text is None else text.encode()
        self.send_response(503 if text is None else status)
        self.send_header("Content-Type", "text/plain" if text is None else kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if location:
            self.send_header("Location", location)
        elif options.refresh and self.path.partition("?")[0] == "/":
            self.send_header("Refresh", str(options.refresh))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        values = dict(urllib.parse.parse_qsl(query))
        if path == "/":
            self.answer(self.query("SELECT webhook.status_page(nullif(:'id', '')::bigint)", id=values.get("webhook_id", "")))
        elif path == "/reactivate":
            self.answer(self.query("SELECT webhook.reactivation_page(:'token')", token=values.get("token", "")))
        elif path == "/metrics":
            self.answer(self.query("SELECT webhook.metrics()"), METRICS)
        else:
            self.answer("not found\n", "text/plain", 404)

    def do_POST(self):
        length = min(int(self.headers.get("Content-Length", 0)), 10000)
        values = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode("utf-8", "replace")))
        token = values.get("token", "")
        if self.path.partition("?")[0] != "/reactivate":
            self.answer("not found\n", "text/plain", 404)
        elif self.query("SELECT webhook.reactivate(:'token', :'replay')", token=token,
                        replay="true" if values.get("replay_events") == "true" else "false") is None:
            self.answer(self.query("SELECT webhook.reactivation_page(:'token')", token=token), HTML, 409)
        else:
            self.answer("activated\n", "text/plain", 303, "/")

    def log_message(self, *arguments):
        pass


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--port-file")
parser.add_argument("--refresh", type=int, help="reload the page after so many seconds")
parser.add_argument("--psql", default="psql")
parser.add_argument("connection", nargs="*", help="for psql, such as service=webhooks")
options = parser.parse_args()
server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
if options.port_file:
    with open(options.port_file, "w") as file:
        file.write("%d\n" % server.server_port)
print("http://127.0.0.1:%d/" % server.server_port, flush=True)
server.serve_forever()
