#!/usr/bin/env python3
"""What docker-compose.yml and its test use of Mailpit: mail by SMTP with TLS and a password, a page, and its API."""

import base64
import email
import email.policy
import html
import http.server
import json
import os
import signal
import sqlite3
import ssl
import sys
import threading
import urllib.request

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

setting = os.environ.get
certificate = (setting("MP_SMTP_TLS_CERT"), setting("MP_SMTP_TLS_KEY"))
page_certificate = (setting("MP_UI_TLS_CERT"), setting("MP_UI_TLS_KEY"))


def accounts(variable):
    """Pairs of user and password from the file that a variable names."""
    with open(os.environ[variable], encoding="utf-8") as file:
        return dict(line.strip().split(":", 1) for line in file if ":" in line)


def tls(pair):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pair)
    return context


def secured(connection):
    return tls(page_certificate).wrap_socket(connection, server_side=True) if all(page_certificate) else connection


if sys.argv[1:] == ["readyz"]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    scheme = "https" if all(page_certificate) else "http"
    urllib.request.urlopen(f"{scheme}://127.0.0.1:8025/readyz", timeout=3, context=context)
    sys.exit(0)

database = sqlite3.connect(setting("MP_DATABASE", ":memory:"), check_same_thread=False)
lock = threading.Lock()
with database:
    database.execute("CREATE TABLE IF NOT EXISTS mails (id INTEGER PRIMARY KEY, message_id, subject, sender, body)")


class Inbox:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text = mail.get_body(preferencelist=("plain",))
        row = (mail["Message-ID"].strip("<> "), mail["Subject"], mail["From"], text.get_content() if text else "")
        with lock, database:
            database.execute("INSERT INTO mails (message_id, subject, sender, body) VALUES (?, ?, ?, ?)", row)
        return "250 Ok"


class SafeController(Controller):
    def factory(self):
        users = accounts("MP_SMTP_AUTH_FILE")

        def check(server, session, envelope, mechanism, data):
            known = isinstance(data, LoginPassword) and users.get(data.login.decode()) == data.password.decode()
            return AuthResult(success=known, handled=known)

        security = {"auth_require_tls": False}
        if all(certificate):
            security = {"tls_context": tls(certificate), "require_starttls": True}
        return SMTP(self.handler, auth_required=True, authenticator=check, **security)


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/readyz":
            return self.answer(200, "ok", "text/plain")
        users = {base64.b64encode(f"{user}:{word}".encode()).decode() for user, word in accounts("MP_UI_AUTH_FILE").items()}
        if self.headers.get("Authorization", "").removeprefix("Basic ") not in users:
            return self.answer(401, "Unauthorised.", "text/plain", [("WWW-Authenticate", 'Basic realm="Login"')])
        with lock:
            rows = database.execute("SELECT id, message_id, subject, sender, body FROM mails ORDER BY id DESC").fetchall()
        if path == "/api/v1/messages":
            mails = [{"ID": str(row[0]), "MessageID": row[1], "Subject": row[2], "Snippet": row[4][:250]} for row in rows]
            return self.answer(200, json.dumps({"total": len(rows), "messages": mails}), "application/json")
        if path == "/":
            body = "".join(f"<h2>{html.escape(row[2])}</h2><pre>{html.escape(row[4])}</pre>" for row in rows)
            return self.answer(200, f"<!doctype html><title>Mail</title>{body}", "text/html; charset=utf-8")
        return self.answer(404, "no such page", "text/plain")

    def answer(self, status, text, kind, headers=()):
        body = text.encode()
        self.send_response(status)
        for name, value in [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """The handshake runs in the connection's own thread, so that a silent client holds nobody up."""

    def finish_request(self, request, address):
        with secured(request) as connection:
            self.RequestHandlerClass(connection, address, self)

    def handle_error(self, request, address):
        pass


# As the first process of a container, it has no default way to end.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
SafeController(Inbox(), hostname="0.0.0.0", port=1025).start()
Server(("0.0.0.0", 8025), Page).serve_forever()
