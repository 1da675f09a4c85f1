//! Every example game on one server.

fn main() -> referee::Result {
    referee::run(|server| {
        server
            .game("arena", arena::arena)
            .title("Arena")
            .describe("Fly, aim, shoot: the first to 25 points wins the round.")
            .page(arena::PAGE);
        server
            .game("cards", cards::cards)
            .title("Crazy Eights")
            .describe("Match suit or rank, an eight is wild. Two to four play.")
            .page(cards::PAGE);
        server
            .game("counter", counter::counter)
            .title("Counter")
            .describe("One button and one number, the same for everybody.")
            .page(counter::PAGE);
        server
            .game("tic-tac-toe", tic_tac_toe::tic_tac_toe)
            .title("Tic-tac-toe")
            .describe("Three in a row. Two play, the others watch.")
            .page(tic_tac_toe::PAGE);
    })
}
