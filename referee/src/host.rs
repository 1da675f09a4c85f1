//! Hosting games: what a `main` says, and the commands its binary has.

use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use referee_room::{Game, Template};
use referee_server::cli::{Cli, Task};
use referee_server::games::{self, Games, game_name};

/// What `main` returns.
pub type Result = std::result::Result<(), Error>;

/// Why the server did not start, or did not end well: a sentence. It reads the same wherever it is
/// printed, also when `main` returns it.
pub struct Error(String);

impl Error {
    fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Hosts games until SIGTERM or Ctrl-C, or does something with a stored match, as the command line says (`--help` shows what it can say).
/// `setup` names the games; what it returns is dropped.
///
/// # Errors
/// When a game or a setting is wrong, the data folder or the port cannot be used, or not everything
/// could be saved at the end.
pub fn run<R>(setup: impl FnOnce(&mut Server) -> R) -> Result {
    let task = Cli::of_process().into_task();
    let mut server = Server::default();
    setup(&mut server);
    let serve = match task {
        Task::Serve(serve) => serve,
        Task::Tool(tool) => {
            let said = tool.run(&server.into_games()?).map_err(Error::new)?;
            return match writeln!(std::io::stdout(), "{said}") {
                // Whoever read it has seen enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                told => told.map_err(Error::new),
            };
        }
    };
    serve.start_log().map_err(Error)?;
    referee_server::run::run(server.into_games()?, serve.config()).map_err(Error::new)
}

/// The games a server is to host.
#[derive(Default)]
pub struct Server {
    listings: Vec<Rc<RefCell<Listing>>>,
}

/// A game that is being listed.
struct Listing {
    name: String,
    template: std::result::Result<Arc<Template>, String>,
    title: Option<&'static str>,
    description: Option<&'static str>,
    page: Option<&'static str>,
}

/// A game of a [`Server`], to say more about it.
pub struct Hosted(Rc<RefCell<Listing>>);

impl Server {
    /// Hosts a game under a name, which is the first part of its matches' addresses: 1 to 64 of
    /// `A-Z a-z 0-9 _ -`. What is wrong with it is told when the server starts.
    pub fn game(&mut self, name: &str, game: impl Fn(&mut Game) + Send + Sync + 'static) -> Hosted {
        let listing = Rc::new(RefCell::new(Listing {
            name: name.to_owned(),
            template: Template::new(name, game).map_err(|error| error.to_string()),
            title: None,
            description: None,
            page: None,
        }));
        self.listings.push(Rc::clone(&listing));
        Hosted(listing)
    }

    /// All games, or everything that is wrong with them.
    fn into_games(self) -> std::result::Result<Games, Error> {
        let mut games = Games::new();
        let mut problems = Vec::new();
        for listing in &self.listings {
            let listing = listing.borrow();
            match listing.check() {
                Err(problem) => problems.push(problem),
                Ok((name, hosted)) => {
                    if games.insert(name, hosted).is_some() {
                        problems.push(format!("two games are called {:?}", listing.name));
                    }
                }
            }
        }
        if problems.is_empty() { Ok(games) } else { Err(Error(problems.join("\n"))) }
    }
}

impl Listing {
    fn check(&self) -> std::result::Result<(games::GameName, games::Hosted), String> {
        let name = game_name(&self.name).map_err(|error| error.to_string())?;
        let hosted = games::Hosted {
            template: Arc::clone(self.template.as_ref().map_err(Clone::clone)?),
            title: self.title,
            description: self.description,
            page: self.page,
        };
        Ok((name, hosted))
    }
}

impl Hosted {
    /// The game's page: one HTML document, which imports the client as "referee". Without one, the
    /// game has a page made from its types.
    pub fn page(self, document: &'static str) -> Self {
        self.0.borrow_mut().page = Some(document);
        self
    }

    /// What people call the game.
    pub fn title(self, title: &'static str) -> Self {
        self.0.borrow_mut().title = Some(title);
        self
    }

    /// One sentence about the game.
    pub fn describe(self, description: &'static str) -> Self {
        self.0.borrow_mut().description = Some(description);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(game: &mut Game) {
        game.turn_based();
    }

    #[test]
    fn games_are_listed_with_what_was_said_of_them() {
        let mut server = Server::default();
        server.game("one", nothing).title("One").describe("The first.").page("<p>");
        server.game("two", nothing);
        let games = server.into_games().unwrap();
        let said: Vec<_> =
            games.iter().map(|(name, hosted)| (name.as_str(), hosted.title, hosted.page)).collect();
        assert_eq!(said, [("one", Some("One"), Some("<p>")), ("two", None, None)]);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_and_plainly() {
        let mut server = Server::default();
        for name in ["api", "no spaces", "twice", "twice"] {
            server.game(name, nothing);
        }
        let Err(error) = server.into_games() else { panic!("hosted") };
        let text = format!("{error:?}");
        assert_eq!(text, error.to_string());
        for part in ["\"api\"", "\"no spaces\"", "two games are called \"twice\""] {
            assert!(text.contains(part), "{text}");
        }
    }
}
