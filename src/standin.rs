//! Reads `PORT=text` sections until the configuration module does it.

use std::sync::Arc;

use moxi::config::snapshot::Config;

pub struct Section {
    pub port: u16,
    pub bucket: usize,
}

pub struct Loaded {
    pub config: Arc<Config>,
    pub sections: Vec<Section>,
    pub warnings: Vec<String>,
}

pub fn load(
    z: &str,
    z_big: Option<&str>,
    _env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, String> {
    if let Some(path) = z_big.filter(|text| text.starts_with(['.', '/'])) {
        std::fs::read_to_string(path)
            .map_err(|_| format!("ERROR: could not read behavior file: {path}"))?;
    }
    let mut text = z.to_owned();
    if z.starts_with(['.', '/']) {
        text = std::fs::read_to_string(z)
            .map_err(|_| format!("ERROR: could not read cfg file: {z}"))?;
    }
    let mut loaded = Loaded {
        config: Arc::default(),
        sections: Vec::new(),
        warnings: Vec::new(),
    };
    if text.contains("://") || text.contains('@') {
        return Ok(loaded);
    }
    for (bucket, section) in text.trim().split(';').enumerate() {
        let (port, _) = section
            .split_once('=')
            .ok_or("bad moxi config, missing =")?;
        let port = port.trim().parse().map_err(|_| "missing proxy port")?;
        loaded.sections.push(Section { port, bucket });
    }
    Ok(loaded)
}
