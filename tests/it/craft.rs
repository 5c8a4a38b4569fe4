//! Updates written by hand, byte by byte: also those that no honest client writes.
#![allow(dead_code, unreachable_pub)]

/// Appends a number as lib0 does.
pub fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn string(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// An id: client and clock.
pub type Id = (u64, u64);

/// Where a block says it lives.
#[derive(Clone, Copy)]
pub enum At<'a> {
    Root(&'a str),
    Key(&'a str, &'a str),
    Type(Id),
    TypeKey(Id, &'a str),
    After(Id),
    Before(Id),
    Between(Id, Id),
}

/// One client's blocks.
pub struct Blocks {
    client: u64,
    clock: u64,
    count: u64,
    bytes: Vec<u8>,
}

impl Blocks {
    pub fn of(client: u64, clock: u64) -> Self {
        Self { client, clock, count: 0, bytes: Vec::new() }
    }

    /// Any block: its place, its kind, its content.
    pub fn block(mut self, at: At<'_>, kind: u8, content: &[u8]) -> Self {
        self.count += 1;
        let flags = match at {
            At::Root(_) | At::Type(_) => 0,
            At::Key(..) | At::TypeKey(..) => 0x20,
            At::After(_) => 0x80,
            At::Before(_) => 0x40,
            At::Between(..) => 0xc0,
        };
        let out = &mut self.bytes;
        out.push(kind | flags);
        let id = |out: &mut Vec<u8>, id: Id| {
            number(out, id.0);
            number(out, id.1);
        };
        match at {
            At::Root(name) | At::Key(name, _) => {
                out.push(1);
                string(out, name);
            }
            At::Type(parent) | At::TypeKey(parent, _) => {
                out.push(0);
                id(out, parent);
            }
            At::After(one) | At::Before(one) => id(out, one),
            At::Between(left, right) => {
                id(out, left);
                id(out, right);
            }
        }
        if let At::Key(_, key) | At::TypeKey(_, key) = at {
            string(out, key);
        }
        out.extend_from_slice(content);
        self
    }

    /// The integer 1 as a value.
    pub fn one(self, at: At<'_>) -> Self {
        self.block(at, 8, &[1, 125, 1])
    }

    pub fn text(self, at: At<'_>, text: &str) -> Self {
        let mut content = Vec::new();
        string(&mut content, text);
        self.block(at, 4, &content)
    }

    pub fn embed(self, at: At<'_>, json: &str) -> Self {
        let mut content = Vec::new();
        string(&mut content, json);
        self.block(at, 5, &content)
    }

    /// A shared type: 0 array, 1 map, 2 text.
    pub fn new_type(self, at: At<'_>, type_ref: u8) -> Self {
        self.block(at, 7, &[type_ref])
    }

    pub fn gc(mut self, len: u64) -> Self {
        self.count += 1;
        self.bytes.push(0);
        number(&mut self.bytes, len);
        self
    }

    pub fn skip(mut self, len: u64) -> Self {
        self.count += 1;
        self.bytes.push(10);
        number(&mut self.bytes, len);
        self
    }

    pub fn deleted(self, at: At<'_>, len: u64) -> Self {
        let mut content = Vec::new();
        number(&mut content, len);
        self.block(at, 1, &content)
    }
}

/// Deletes: client, first clock, length.
pub type Delete = (u64, u64, u64);

/// An update of these blocks and deletes, in the given order.
pub fn update(sections: impl IntoIterator<Item = Blocks>, deletes: &[Delete]) -> Vec<u8> {
    let sections: Vec<Blocks> = sections.into_iter().collect();
    let mut out = Vec::new();
    number(&mut out, sections.len() as u64);
    for section in sections {
        number(&mut out, section.count);
        number(&mut out, section.client);
        number(&mut out, section.clock);
        out.extend_from_slice(&section.bytes);
    }
    let clients: Vec<&[Delete]> = deletes.chunk_by(|a, b| a.0 == b.0).collect();
    number(&mut out, clients.len() as u64);
    for ranges in clients {
        number(&mut out, ranges[0].0);
        number(&mut out, ranges.len() as u64);
        for &(_, clock, len) in ranges {
            number(&mut out, clock);
            number(&mut out, len);
        }
    }
    out
}

/// An update of one client's blocks.
pub fn blocks(blocks: Blocks) -> Vec<u8> {
    update([blocks], &[])
}
