//! The full screen: lines on a terminal, keys, and what ends it.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Print, SetAttribute};
use crossterm::terminal::{Clear, ClearType};
use crossterm::{cursor, execute, queue, terminal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::change::Change;
use super::options::Options;
use super::sample::Sample;
use super::server::Server;
use super::view;
use crate::failure::{Failure, SYSTEM, reason};

/// What the screen waits for.
enum News {
    /// Statistics, or why there are none.
    Sample(Result<Sample, String>),
    /// The screen has another size.
    Resized,
    /// So many lines down, or up if below 0.
    Move(isize),
    /// So many halves of the screen.
    Page(isize),
    /// It is over.
    End,
}

/// Runs until a key or a signal ends it. The terminal is as it was then.
///
/// # Errors
/// It cannot be used so.
pub fn run(options: Options) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(SYSTEM, format!("the terminal cannot be used: {}", reason(&error)));
    let news = sources(&options).map_err(failed)?;
    let mut out = io::stdout();
    terminal::enable_raw_mode().map_err(failed)?;
    let shown = execute!(out, terminal::EnterAlternateScreen, cursor::Hide)
        .and_then(|()| Screen::new(&options).show(&news, &mut out));
    let restored = execute!(out, cursor::Show, terminal::LeaveAlternateScreen);
    shown.and(restored).and(terminal::disable_raw_mode()).map_err(failed)
}

/// Each source has a thread, which ends with the program: a server that does not answer keeps no key waiting.
fn sources(options: &Options) -> io::Result<Receiver<News>> {
    let (sender, news) = mpsc::channel();
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let of_signals = sender.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        signals.forever().next();
        let _ = of_signals.send(News::End);
    })?;
    let (options, of_server) = (options.clone(), sender.clone());
    thread::Builder::new().name("server".to_owned()).spawn(move || {
        let mut server = Server::new(options.address);
        while of_server.send(News::Sample(server.ask())).is_ok() {
            thread::sleep(options.interval);
        }
    })?;
    thread::Builder::new().name("keys".to_owned()).spawn(move || keys(&sender))?;
    Ok(news)
}

/// Reads the terminal; when it is gone there is nobody to show anything to.
fn keys(sender: &Sender<News>) {
    loop {
        let news = match event::read() {
            Ok(event) => meaning(&event),
            Err(_) => Some(News::End),
        };
        let is_last = matches!(news, Some(News::End));
        if news.is_some_and(|news| sender.send(news).is_err()) || is_last {
            return;
        }
    }
}

fn meaning(event: &Event) -> Option<News> {
    let key = match event {
        Event::Resize(..) => return Some(News::Resized),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(News::End),
        KeyCode::Char('q') | KeyCode::Esc => Some(News::End),
        KeyCode::Down => Some(News::Move(1)),
        KeyCode::Up => Some(News::Move(-1)),
        KeyCode::PageDown => Some(News::Page(1)),
        KeyCode::PageUp => Some(News::Page(-1)),
        KeyCode::Home => Some(News::Move(isize::MIN)),
        _ => None,
    }
}

/// What is on the screen.
struct Screen {
    /// The address as text.
    place: String,
    /// The latest sample, for the rates of the next one; none while the server is gone.
    latest: Option<Sample>,
    lines: Vec<String>,
    /// The first line that is shown.
    first: usize,
}

impl Screen {
    fn new(options: &Options) -> Screen {
        let place = options.address.to_string();
        Screen { lines: vec![format!("{place}: asked for its statistics")], place, latest: None, first: 0 }
    }

    /// Shows what comes until the end.
    fn show(&mut self, news: &Receiver<News>, out: &mut impl Write) -> io::Result<()> {
        loop {
            let (width, height) = terminal::size()?;
            self.draw(width.into(), height.into(), out)?;
            match news.recv() {
                Ok(News::Sample(sample)) => self.take(sample),
                Ok(News::Move(lines)) => self.scroll(lines),
                Ok(News::Page(pages)) => self.scroll(pages * isize::from(height.cast_signed()).max(2) / 2),
                Ok(News::Resized) => {}
                Ok(News::End) | Err(_) => return Ok(()),
            }
        }
    }

    fn take(&mut self, sample: Result<Sample, String>) {
        match sample {
            Ok(sample) => {
                self.lines = view::lines(&self.place, &Change::new(self.latest.as_ref(), &sample));
                self.latest = Some(sample);
            }
            Err(why) => {
                // Old numbers would be taken for new ones.
                self.lines = vec![format!("gone: {why}"), "It is asked again and again.".to_owned()];
                self.latest = None;
            }
        }
    }

    fn scroll(&mut self, lines: isize) {
        self.first = self.first.saturating_add_signed(lines);
    }

    /// Writes what fits, line by line, so that it does not flicker.
    fn draw(&mut self, width: usize, height: usize, out: &mut impl Write) -> io::Result<()> {
        self.first = self.first.min(self.lines.len().saturating_sub(height));
        let shown = self.lines.iter().skip(self.first).take(height);
        for (row, line) in (0u16..).zip(shown) {
            let fitting: String = line.chars().take(width).collect();
            let is_title = usize::from(row) + self.first == 0 || is_title(line);
            let attribute = if is_title { Attribute::Bold } else { Attribute::Reset };
            // Cleared before it is written: behind a line that fills the screen's width its last character would go.
            queue!(out, cursor::MoveTo(0, row), Clear(ClearType::UntilNewLine))?;
            queue!(out, SetAttribute(attribute), Print(fitting), SetAttribute(Attribute::Reset))?;
        }
        if let Ok(end) = u16::try_from(self.lines.len() - self.first)
            && usize::from(end) < height
        {
            queue!(out, cursor::MoveTo(0, end), Clear(ClearType::FromCursorDown))?;
        }
        out.flush()
    }
}

/// Whether it is the line above a table, which begins with capitals.
fn is_title(line: &str) -> bool {
    let word = line.trim_start().split(' ').next().unwrap_or_default();
    word.len() > 1 && word.chars().all(|char| char.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn screen(lines: &[&str]) -> Screen {
        let lines = lines.iter().map(|&line| line.to_owned()).collect();
        Screen { place: "a:1".to_owned(), latest: None, lines, first: 0 }
    }

    /// What is drawn, without what tells a terminal where.
    fn drawn(screen: &mut Screen, width: usize, height: usize) -> Vec<String> {
        let mut out = Vec::new();
        screen.draw(width, height, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let pieces = text.split("\u{1b}[").skip(1);
        pieces
            .filter_map(|piece| piece.split_once('m'))
            .map(|(_, text)| text.to_owned())
            .filter(|t| !t.is_empty())
            .collect()
    }

    #[test]
    fn what_fits_is_shown() {
        let mut screen = screen(&["one", "two", "three", "four"]);
        assert_eq!(drawn(&mut screen, 3, 2), ["one", "two"]);
        screen.scroll(1);
        assert_eq!(drawn(&mut screen, 3, 2), ["two", "thr"]);
        screen.scroll(100);
        assert_eq!(drawn(&mut screen, 9, 2), ["three", "four"]);
        // It has been moved back to what there is.
        screen.scroll(-1);
        assert_eq!(drawn(&mut screen, 9, 2), ["two", "three"]);
        screen.scroll(isize::MIN);
        assert_eq!(drawn(&mut screen, 9, 9), ["one", "two", "three", "four"]);
        assert_eq!(drawn(&mut screen, 0, 0), [""; 0]);
    }

    #[test]
    fn a_server_that_is_gone_is_shown_as_gone() {
        let sample = |seconds, count: u64| {
            let reply = format!("STAT 1:default:pstd_stats:tot_cmd_count {count}\r\nEND\r\n");
            Sample::parse(Duration::from_secs(seconds), reply.as_bytes())
        };
        let mut screen = screen(&[]);
        let rate = |screen: &Screen| screen.lines[4].split_whitespace().nth(3).map(str::to_owned);
        screen.take(sample(1, 10));
        assert_eq!(rate(&screen).as_deref(), Some("-"));
        screen.take(sample(2, 30));
        assert_eq!(rate(&screen).as_deref(), Some("20"));
        screen.take(Err("a:1: Connection refused".to_owned()));
        assert_eq!(screen.lines, ["gone: a:1: Connection refused", "It is asked again and again."]);
        // What it counted while it was gone is no rate.
        screen.take(sample(3, 3000));
        assert_eq!(rate(&screen).as_deref(), Some("-"));
    }

    #[test]
    fn keys_have_their_meaning() {
        let of = |code, modifiers| meaning(&Event::Key(event::KeyEvent::new(code, modifiers)));
        let none = KeyModifiers::NONE;
        assert!(matches!(of(KeyCode::Char('q'), none), Some(News::End)));
        assert!(matches!(of(KeyCode::Esc, none), Some(News::End)));
        assert!(matches!(of(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(News::End)));
        assert!(of(KeyCode::Char('c'), none).is_none());
        assert!(matches!(of(KeyCode::Down, none), Some(News::Move(1))));
        assert!(matches!(of(KeyCode::PageUp, none), Some(News::Page(-1))));
        assert!(matches!(meaning(&Event::Resize(1, 1)), Some(News::Resized)));
    }
}
