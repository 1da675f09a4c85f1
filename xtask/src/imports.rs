//! Reads which functions a wasm module wants from outside.

use crate::Result;

/// One entry of a module's import section.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// The namespace, like "env".
    pub(crate) module: String,
    pub(crate) name: String,
}

/// The section that lists the imports.
const IMPORT_SECTION: u8 = 2;

/// What the module imports, in its order.
pub(crate) fn imports(module: &[u8]) -> Result<Vec<Import>> {
    let mut bytes = Reader(module.strip_prefix(b"\0asm\x01\0\0\0").ok_or("not a wasm module")?);
    while !bytes.0.is_empty() {
        let section = bytes.byte()?;
        let length = bytes.number()?;
        let body = bytes.take(length)?;
        if section == IMPORT_SECTION {
            return import_section(Reader(body));
        }
    }
    Ok(Vec::new())
}

fn import_section(mut bytes: Reader<'_>) -> Result<Vec<Import>> {
    let count = bytes.number()?;
    let mut imports = Vec::new();
    for _ in 0..count {
        let import = Import { module: bytes.name()?, name: bytes.name()? };
        match bytes.byte()? {
            // A function: the index of its type.
            0 => drop(bytes.number()?),
            // A table: its element type and limits.
            1 => {
                bytes.byte()?;
                bytes.limits()?;
            }
            2 => bytes.limits()?,
            // A global: its type, and whether it may change.
            3 => drop(bytes.take(2)?),
            // A tag: its attribute and type.
            4 => {
                bytes.byte()?;
                bytes.number()?;
            }
            kind => return Err(format!("import {import:?} is of unknown kind {kind}").into()),
        }
        imports.push(import);
    }
    Ok(imports)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("the module ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned LEB128 number.
    fn number(&mut self) -> Result<usize> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number in the module is too long".into())
    }

    fn name(&mut self) -> Result<String> {
        let length = self.number()?;
        Ok(String::from_utf8(self.take(length)?.to_vec())?)
    }

    fn limits(&mut self) -> Result {
        let has_maximum = self.byte()? & 1 == 1;
        self.number()?;
        if has_maximum {
            self.number()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    fn import(module: &str, name: &str) -> Import {
        Import { module: module.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn lists_every_kind_of_import() {
        // A custom section, then a function, a memory with a maximum and a global.
        let body = b"\x03\x03env\x01f\x00\x05\x01m\x03mem\x02\x01\x01\x80\x02\x00\x01g\x03\x7f\x01";
        let module = [HEADER, b"\0\x02xy\x02", &[body.len() as u8], body].concat();
        let expected = [import("env", "f"), import("m", "mem"), import("", "g")];
        assert_eq!(imports(&module).unwrap(), expected);
    }

    #[test]
    fn a_module_without_imports_has_none() {
        assert_eq!(imports(HEADER).unwrap(), []);
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let module = [HEADER, b"\x02\x09\x01\x03en"].concat();
        assert!(imports(&module).is_err());
        assert!(imports(b"ELF").is_err());
    }
}
