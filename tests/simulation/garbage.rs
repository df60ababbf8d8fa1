//! What does not fit: sent by broken servers, and by hostile clients.

use moxi_fuzzing::memory::Random;

/// What a broken server sends. Lines and values are marked, so that they can be told from true ones.
pub fn bytes(random: &mut Random, binary: bool) -> Vec<u8> {
    if random.once_in(6) {
        return (0..random.range(1, 60)).map(|_| random.number() as u8 | 0x80).collect();
    }
    if !binary {
        let lines: [&[u8]; 12] = [
            b"GARBAGE\r\n",
            b"\r\n",
            b"\n",
            b"VALUE\r\n",
            b"VALUE x y z\r\n",
            b"VALUE zzz 0 3\r\nabc\r\n",
            b"VALUE zzz 0 3\r\nabcdef\r\n",
            b"STAT x 1\r\n",
            b"END\r\n",
            b"OK\r\n",
            b"VALUE zzz 0 18446744073709551615\r\n",
            b"SERVER_ERROR GARBAGE\r\n",
        ];
        return random.pick(&lines).to_vec();
    }
    let opcode = random.pick(&[0x00, 0x01, 0x04, 0x05, 0x0a, 0x0c, 0x0d, 0x10, 0x23, 0xff]);
    let status = random.pick(&[0u16, 1, 7, 0x86, 0xffff]);
    let mut packet = vec![0; 24];
    packet[0] = random.pick(&[0x81, 0x81, 0x81, 0x80, 0]);
    packet[1] = opcode;
    packet[6..8].copy_from_slice(&status.to_be_bytes());
    packet[12..16].copy_from_slice(&random.pick(&[0u32, 1, 4, 0x0001_0001, u32::MAX]).to_be_bytes());
    match random.below(4) {
        // A value under a foreign key.
        0 => {
            (packet[3], packet[4], packet[11]) = (3, 4, 4 + 3 + 3);
            packet.extend_from_slice(b"\0\0\0\0zzzabc");
        }
        // Lengths that contradict each other, or are too large.
        1 => (packet[3], packet[4], packet[11]) = (9, 9, 3),
        2 => packet[8] = 0xff,
        _ => {}
    }
    packet
}

/// What a hostile client sends: fragments of requests, and what never is one.
pub fn request(random: &mut Random) -> Vec<u8> {
    let fragments: [&[u8]; 22] = [
        b"get hk\r\n",
        b"get \r\n",
        b"get hk hk2 hk hk3\r\n",
        b"gets hk\n",
        b"set hk 0 0 5\r\nhello\r\n",
        b"set hk 0 0 5\r\nhellooo\r\n",
        b"set hk 0 0 4294967295\r\n",
        b"set hk 0 0 -1\r\nx\r\n",
        b"set hk 0 0 2 noreply\r\nab\r\n",
        b"set hk 0 0\r\n",
        b"append hk 0 0 2\r\n\r\n\r\n",
        b"cas hk 0 0 1 x\r\n1\r\n",
        b"incr hk 1\r\n",
        b"incr hk -1\r\n",
        b"delete hk 0 noreply\r\n",
        b"touch hk 5000000\r\n",
        b"gat 5000000 hk hk2\r\n",
        b"getl hk 5000000\r\n",
        b"unl hk 77777777\r\n",
        b"stats sizes\r\n",
        b"\r\n",
        b"\0\r\n",
    ];
    let mut bytes = random.pick(&fragments).to_vec();
    match random.below(8) {
        0 => {
            let at = random.index(bytes.len());
            bytes[at] = random.number() as u8;
        }
        1 => {
            let at = random.index(bytes.len());
            bytes.truncate(at + 1);
        }
        2 => bytes.extend((0..random.range(1, 40)).map(|_| random.number() as u8)),
        3 => {
            let long = vec![b'h'; random.pick(&[250, 251, 9_000])];
            bytes.splice(4.min(bytes.len())..4.min(bytes.len()), long);
        }
        _ => {}
    }
    bytes
}

/// A packet of a hostile binary client.
pub fn packet(random: &mut Random) -> Vec<u8> {
    let opcode = match random.below(3) {
        0 => random.number() as u8,
        _ => random.pick(&[0x00, 0x01, 0x05, 0x08, 0x09, 0x0a, 0x0d, 0x11, 0x18, 0x1e, 0x94, 0x95]),
    };
    let mut packet = vec![0; 24];
    (packet[0], packet[1]) = (0x80, opcode);
    let (extras, key, value) = match opcode {
        0x00 | 0x09 | 0x0d | 0x95 => (0, 2, 0),
        0x01 | 0x11 => (8, 2, 5),
        0x05 => (20, 2, 0),
        0x1e | 0x94 => (4, 2, 0),
        0x08 | 0x0a | 0x18 => (0, 0, 0),
        _ => (random.below(9) as u8, random.below(4) as u8, random.below(4) as u8),
    };
    // The opcodes that drop or change what others have stored are left out, and so is an increment of 0.
    if matches!(opcode, 0x08 | 0x18) {
        packet[1] = 0x0a;
    }
    (packet[3], packet[4], packet[11]) = (key, extras, extras + key + value);
    packet[15] = random.number() as u8;
    packet.extend((0..extras).map(|_| 0xff));
    packet.extend(b"hkhk".iter().take(usize::from(key)));
    packet.extend((0..value).map(|_| b'v'));
    match random.below(30) {
        0 => packet[random.index(24)] = random.number() as u8,
        1 => packet.truncate(random.index(packet.len()) + 1),
        _ => {}
    }
    packet
}
