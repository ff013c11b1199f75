mod hostile;
mod made;
mod map;
mod own;
mod support;
mod writer;
