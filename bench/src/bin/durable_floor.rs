//! The bare floor of durable moves: a tokio server that appends each move to a file, syncs the file for
//! all that waits at once, and answers. It knows no game, no rooms and no protocol: a client sends moves
//! of a fixed length over TCP and is answered by a few bytes each time.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Answers moves once they are on disk.
#[derive(Parser)]
struct Arguments {
    /// The file that moves are appended to
    #[arg(long)]
    file: PathBuf,
    /// The length of a move in bytes
    #[arg(long)]
    length: usize,
    /// The length of an answer in bytes
    #[arg(long)]
    answer: usize,
}

/// What waits for the disk.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    done: Vec<oneshot::Sender<()>>,
}

#[derive(Default)]
struct Journal {
    waiting: Mutex<Waiting>,
    work: Condvar,
}

impl Journal {
    /// Queues a move; the receiver hears when it is on disk.
    fn append(&self, bytes: &[u8]) -> oneshot::Receiver<()> {
        let (done, heard) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.bytes.extend_from_slice(bytes);
        waiting.done.push(done);
        drop(waiting);
        self.work.notify_one();
        heard
    }

    /// Writes all that waits and syncs it, again and again.
    fn write(&self, mut file: File) -> io::Result<()> {
        loop {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |waiting: &mut Waiting| waiting.done.is_empty();
            let waited = self.work.wait_while(waiting, idle);
            let batch = std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner));
            file.write_all(&batch.bytes)?;
            file.sync_data()?;
            for done in batch.done {
                // Whoever is gone hears nothing.
                let _ = done.send(());
            }
        }
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let (journal, file) = (Arc::new(Journal::default()), File::create(&arguments.file)?);
    let of_thread = Arc::clone(&journal);
    std::thread::spawn(move || {
        if let Err(error) = of_thread.write(file) {
            eprintln!("the floor's file cannot be written: {error}");
            std::process::exit(1);
        }
    });
    std::thread::spawn(|| {
        // It ends with its standard input.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            let (length, answer) = (arguments.length, arguments.answer);
            tokio::spawn(serve(stream, Arc::clone(&journal), length, answer));
        }
    })
}

/// A client: until it goes.
async fn serve(mut stream: TcpStream, journal: Arc<Journal>, length: usize, answer: usize) {
    let (mut bytes, answer) = (vec![0; length], vec![0; answer]);
    let _ = stream.set_nodelay(true);
    while stream.read_exact(&mut bytes).await.is_ok() {
        if journal.append(&bytes).await.is_err() || stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}
