"""Handler for aiosmtpd: keeps every mail as a file, and misbehaves as recipients' names ask it to.

code-NNN: refused with that code when named; data-NNN: the mail is, with that code, once it is all there.
drop-rcpt, drop-data: the connection is cut when the recipient is named, or once the mail is all there.
hang-rcpt, hang-data: no answer ever comes. keep-drop, keep-hang: nor then, though the mail was kept.
"""

import asyncio
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
        if name == "drop-rcpt":
            return self.drop(server)
        if name == "hang-rcpt":
            await asyncio.Event().wait()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        names = [address.split("@")[0] for address in envelope.rcpt_tos]
        for name in names:
            if name.startswith("data-"):
                return f"{name.removeprefix('data-')} as asked for"
            if name == "drop-data":
                return self.drop(server)
            if name == "hang-data":
                await asyncio.Event().wait()
        path = os.path.join(self.folder, f"{len(os.listdir(self.folder)):04}")
        with open(path, "wb") as file:
            file.write(f"{envelope.mail_from} -> {' '.join(envelope.rcpt_tos)}\r\n".encode())
            file.write(envelope.content)
        os.rename(path, path + ".eml")
        if "keep-drop" in names:
            return self.drop(server)
        if "keep-hang" in names:
            await asyncio.Event().wait()
        return "250 OK"

    def drop(self, server):
        server.transport.abort()
        return "421 gone"
