//! Commands that are not proxied: their values are no commands either (04 §2.3).

use moxi_test_support::{Exchange, Mock, Stage, moxi};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whole and at every split.
#[test]
fn meta_commands() {
    for protocol in ["ascii", "binary"] {
        let mock = Mock::new();
        let builder = moxi!().servers([mock.port()]).speaking(protocol);
        let mut stage = match protocol {
            "ascii" => Stage::ascii(builder, VERSION, vec![mock]),
            _ => Stage::binary(builder, VERSION, vec![mock]),
        };
        let refused = |request: &str, replies: &str| Exchange::new(format!("{request:?}"), request).gets(replies);
        stage.run_all(&[
            refused("mn\r\n", "ERROR\r\n"),
            refused("mg k v\r\nmd k q\r\nma k\r\nme k\r\n", "ERROR\r\nERROR\r\nERROR\r\nERROR\r\n"),
            // One answer, whatever the value looks like.
            refused("ms k 11 T0 q\r\nflush_all\r\n\r\nversion\r\n", &format!("ERROR\r\nVERSION {VERSION}\r\n")),
            refused("  ms  k  0\r\n\r\nmn\r\n", "ERROR\r\nERROR\r\n"),
            // Nobody can tell how long this one is.
            refused("ms k x\r\nbogus\r\n", "ERROR\r\nERROR\r\n"),
            refused("ms k\r\nms\r\n", "ERROR\r\nERROR\r\n"),
        ]);
    }
}
