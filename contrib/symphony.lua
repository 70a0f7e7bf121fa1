-- Symphony's datagrams in Wireshark and tshark: what can be read without the cluster's key. The format is specified in
-- core/src/secure.rs; `symphony packet decode` opens the sealed text.
--
--   tshark -X lua_script:contrib/symphony.lua -i any -f 'udp port 7400'
--
-- For good, copy this file to the folder of personal plugins (Help, About Wireshark, Folders). Other ports than 7400:
-- Preferences, Protocols, SYMPHONY, or -o 'symphony.ports:7400-7410', or "Decode As".

local symphony = Proto("symphony", "Symphony election")

local CIPHERS = { [1] = "XChaCha20-Poly1305", [2] = "Ascon-AEAD128" }
local KINDS = { [0] = "Message", [1] = "Hello", [2] = "Answer to a hello" }

local HEADER_SIZE, HELLO_HEADER_SIZE, TAG_SIZE = 20, 36, 16

local field = {
    cipher = ProtoField.uint8("symphony.cipher", "Cipher", base.DEC, CIPHERS, 0xF0),
    kind = ProtoField.uint8("symphony.kind", "Kind", base.DEC, KINDS, 0x0F),
    key = ProtoField.uint8("symphony.key", "Key", base.DEC, nil, nil, "Number of the cluster's key"),
    from = ProtoField.uint16("symphony.from", "Sender", base.DEC),
    to = ProtoField.uint16("symphony.to", "Receiver", base.DEC),
    cluster = ProtoField.bytes("symphony.cluster", "Cluster", base.NONE, "First bytes of the cluster's id"),
    from_session = ProtoField.uint32("symphony.from_session", "Sender's session", base.HEX),
    to_session = ProtoField.uint32("symphony.to_session", "Receiver's session", base.HEX),
    counter = ProtoField.uint32("symphony.counter", "Counter", base.DEC),
    salt = ProtoField.bytes("symphony.salt", "Sender's salt", base.NONE),
    boot = ProtoField.uint32("symphony.boot", "Sender's boot", base.DEC),
    echo = ProtoField.uint32("symphony.echo", "Counter of the hello that is answered", base.DEC),
    text = ProtoField.bytes("symphony.text", "Sealed text", base.NONE),
    tag = ProtoField.bytes("symphony.tag", "Tag", base.NONE),
}
symphony.fields = field

local expert = {
    version = ProtoExpert.new(
        "symphony.version", "Another version of the format, or not a datagram of Symphony",
        expert.group.PROTOCOL, expert.severity.WARN
    ),
    short = ProtoExpert.new(
        "symphony.short", "Shorter than any datagram of its kind", expert.group.MALFORMED, expert.severity.ERROR
    ),
}
symphony.experts = expert

symphony.prefs.ports = Pref.range("UDP ports", "7400", "Ports that the cluster's members listen on", 65535)

function symphony.dissector(buffer, pinfo, root)
    local size = buffer:reported_length_remaining()
    if size == 0 then
        return 0
    end
    pinfo.cols.protocol = "SYMPHONY"
    local tree = root:add(symphony, buffer())
    local cipher, kind = buffer(0, 1):bitfield(0, 4), buffer(0, 1):bitfield(4, 4)
    tree:add(field.cipher, buffer(0, 1))
    tree:add(field.kind, buffer(0, 1))
    if not CIPHERS[cipher] or not KINDS[kind] then
        tree:add_proto_expert_info(expert.version)
        return size
    end
    local head = kind == 0 and HEADER_SIZE or HELLO_HEADER_SIZE
    if size < head + TAG_SIZE then
        tree:add_proto_expert_info(expert.short)
        return size
    end

    tree:add(field.key, buffer(1, 1))
    tree:add_le(field.from, buffer(2, 2))
    tree:add_le(field.to, buffer(4, 2))
    tree:add(field.cluster, buffer(6, 2))
    tree:add_le(field.from_session, buffer(8, 4))
    tree:add_le(field.to_session, buffer(12, 4))
    tree:add_le(field.counter, buffer(16, 4))
    if head == HELLO_HEADER_SIZE then
        tree:add(field.salt, buffer(20, 8))
        tree:add_le(field.boot, buffer(28, 4))
        tree:add_le(field.echo, buffer(32, 4))
    end
    if size > head + TAG_SIZE then
        tree:add(field.text, buffer(head, size - head - TAG_SIZE))
    end
    tree:add(field.tag, buffer(size - TAG_SIZE, TAG_SIZE))

    local summary = string.format(
        "%s, node %d to %d, key %d, counter %d",
        KINDS[kind], buffer(2, 2):le_uint(), buffer(4, 2):le_uint(), buffer(1, 1):uint(), buffer(16, 4):le_uint()
    )
    pinfo.cols.info = summary
    tree:append_text(": " .. summary)
    return size
end

local udp = DissectorTable.get("udp.port")
local ports = symphony.prefs.ports
udp:add(ports, symphony)
udp:add_for_decode_as(symphony)

function symphony.prefs_changed()
    udp:remove(ports, symphony)
    ports = symphony.prefs.ports
    udp:add(ports, symphony)
end
