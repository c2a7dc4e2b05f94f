//! A broker as far as a doctor asks: CONNECT, PING and LOOKUP, in frames written here by hand from
//! PulsarApi.proto. Like a real one it closes on a frame that is too long, which a ClientHello is.

use std::io::{self, Read, Write};

/// maxMessageSize and what a broker adds to it.
const MOST: usize = 5 * 1024 * 1024 + 10 * 1024;

/// Serves one connection until it ends. `advertised`: the host that lookups give.
pub(crate) fn serve(stream: &mut (impl Read + Write), advertised: &str) -> io::Result<()> {
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let total = u32::from_be_bytes(size) as usize;
        if total > MOST {
            return Ok(());
        }
        let mut frame = vec![0; total];
        stream.read_exact(&mut frame)?;
        // The command's own size, then field 1 of BaseCommand, its type.
        assert_eq!(frame[4], 8, "{frame:?}");
        let answer = match frame[5] {
            2 => command(
                3,
                &[
                    text(1, "Pulsar Server3.0.2"),
                    number(2, 19),
                    number(3, 5_242_880),
                ],
            ),
            18 => command(19, &[]),
            23 => command(
                24,
                &[
                    text(1, &format!("pulsar://{advertised}:6650")),
                    text(2, &format!("pulsar+ssl://{advertised}:6651")),
                    number(3, 1),
                    number(4, 1),
                ],
            ),
            other => panic!("a doctor has no business with command {other}"),
        };
        // A broker pings whom it likes, whenever it likes, once it knows them.
        if frame[5] != 2 {
            stream.write_all(&command(18, &[]))?;
        }
        stream.write_all(&answer)?;
        stream.flush()?;
    }
}

fn command(kind: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    let inner = fields.concat();
    // The field of a command has its type's number.
    let mut base = vec![8, kind];
    base.extend(varint(u64::from(kind) << 3 | 2));
    base.extend(varint(inner.len() as u64));
    base.extend(inner);
    let size = base.len() as u32;
    let mut frame = (size + 4).to_be_bytes().to_vec();
    frame.extend(size.to_be_bytes());
    frame.extend(base);
    frame
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n > 127 {
        bytes.push(n as u8 | 128);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

fn number(field: u8, n: u64) -> Vec<u8> {
    [vec![field << 3], varint(n)].concat()
}

fn text(field: u8, text: &str) -> Vec<u8> {
    let length = varint(text.len() as u64);
    [vec![field << 3 | 2], length, text.as_bytes().to_vec()].concat()
}
