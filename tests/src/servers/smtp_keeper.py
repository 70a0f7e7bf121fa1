"""Handler for aiosmtpd: keeps every mail as a file, and refuses recipients named code-NNN with that code."""

import os


class Keeper:
    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def from_cli(cls, parser, *args):
        return cls(*args)

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name.startswith("code-"):
            return f"{name.removeprefix('code-')} as asked for"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        path = os.path.join(self.folder, f"{len(os.listdir(self.folder)):04}")
        with open(path, "wb") as file:
            file.write(f"{envelope.mail_from} -> {' '.join(envelope.rcpt_tos)}\r\n".encode())
            file.write(envelope.content)
        os.rename(path, path + ".eml")
        return "250 OK"
