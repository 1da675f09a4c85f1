//! The browser's side of [`referee_client::Session`]: the session and its values as JavaScript sees
//! them. Sockets, timers, callbacks and where a token is kept are the page's own means and stay in
//! `js/referee.js`, which is the module that pages import; this crate decides nothing either.

mod schema;
mod values;

use js_sys::{Array, Uint8Array};
use referee_client::protocol::replica::Departed;
use referee_client::protocol::{GameName, MatchId, Schema, TypeDef, Value};
use referee_client::{
    ClientError, Config, EntityView, Event, LinkId, Named, Output, Session, ShownEntity, Status,
    close_code,
};
use values::{FromJsError, from_js, object, to_js};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// What `join` was told.
    pub type Options;
    #[wasm_bindgen(method, getter, structural)]
    fn game(this: &Options) -> String;
    #[wasm_bindgen(method, getter, structural, js_name = match)]
    fn match_id(this: &Options) -> String;
    #[wasm_bindgen(method, getter, structural)]
    fn name(this: &Options) -> String;
    #[wasm_bindgen(method, getter, structural)]
    fn params(this: &Options) -> Option<String>;
    #[wasm_bindgen(method, getter, structural)]
    fn watch(this: &Options) -> bool;
    #[wasm_bindgen(method, getter, structural)]
    fn token(this: &Options) -> Option<String>;
    #[wasm_bindgen(method, getter, structural)]
    fn seed(this: &Options) -> f64;
}

/// What the module turns into a `RefereeError`.
fn error(code: &str, message: &str) -> JsValue {
    object([("code", code.into()), ("message", message.into())])
}

fn refused(problem: &ClientError) -> JsValue {
    error(problem.name(), &problem.to_string())
}

/// Times come from `performance.now()`.
fn ms(now: f64) -> u64 {
    now as u64
}

/// A session.
#[wasm_bindgen(skip_typescript)]
pub struct Core {
    session: Session,
    schema: Option<(u64, JsValue)>,
}

#[wasm_bindgen]
impl Core {
    /// A session that wants to connect.
    ///
    /// # Errors
    /// When the game's name or the match's id breaks the rules for them.
    #[wasm_bindgen(constructor)]
    #[expect(clippy::needless_pass_by_value, reason = "JavaScript hands its objects over")]
    pub fn new(options: Options) -> Result<Self, JsValue> {
        let (game, id) = (options.game(), options.match_id());
        let unfit = |what: &str, text: &str, problem: &dyn std::fmt::Display| {
            format!("{text:?} is no {what}: {problem}")
        };
        let game = GameName::new(&game)
            .map_err(|e| error("unknown_game", &unfit("game name", &game, &e)))?;
        let id =
            MatchId::new(&id).map_err(|e| error("bad_match_id", &unfit("match id", &id, &e)))?;
        let mut config = Config::new(game, id);
        config.name = options.name();
        config.params = options.params();
        config.watch = options.watch();
        config.token = options.token();
        config.seed = options.seed().to_bits();
        Ok(Self { session: Session::new(config), schema: None })
    }

    /// A socket is open; `link` is the number under which it was asked for.
    pub fn opened(&mut self, now: f64, link: u32) {
        self.session.handle_open(ms(now), LinkId(link));
    }

    /// A message came.
    pub fn frame(&mut self, now: f64, link: u32, frame: &[u8]) {
        self.session.handle_frame(ms(now), LinkId(link), frame);
    }

    /// A socket is closed, or could not be opened.
    pub fn closed(&mut self, now: f64, link: u32, code: u16, text: &str) {
        self.session.handle_close(ms(now), LinkId(link), close_code(code), text);
    }

    /// The timer went off.
    pub fn timeout(&mut self, now: f64) {
        self.session.handle_timeout(ms(now));
    }

    /// When the timer is to go off.
    #[wasm_bindgen(js_name = nextTimeout)]
    #[must_use]
    pub fn next_timeout(&self) -> Option<f64> {
        self.session.poll_timeout().map(|at| at as f64)
    }

    /// What is to be done next; `undefined` when that is all.
    #[wasm_bindgen(js_name = nextOutput)]
    pub fn next_output(&mut self) -> JsValue {
        let Some(output) = self.session.poll_output() else { return JsValue::UNDEFINED };
        match output {
            Output::Connect { link } => {
                object([("kind", "connect".into()), ("link", link.0.into())])
            }
            Output::Send { link, frame } => object([
                ("kind", "send".into()),
                ("link", link.0.into()),
                ("frame", Uint8Array::from(&frame[..]).into()),
            ]),
            Output::Disconnect { link, code } => object([
                ("kind", "disconnect".into()),
                ("link", link.0.into()),
                ("code", code.close_code().into()),
                ("reason", code.name().into()),
            ]),
            Output::StoreToken(token) => {
                let token = token.map_or(JsValue::NULL, JsValue::from);
                object([("kind", "token".into()), ("token", token)])
            }
        }
    }

    /// What happened next; `undefined` when that is all.
    #[wasm_bindgen(js_name = nextEvent)]
    pub fn next_event(&mut self) -> JsValue {
        let Some(event) = self.session.poll_event() else { return JsValue::UNDEFINED };
        match event {
            Event::Status { .. } => object([("kind", "status".into())]),
            Event::State { .. } => object([("kind", "state".into())]),
            Event::Left { entities } => {
                let entities: Array = entities.iter().map(departed).collect();
                object([("kind", "left".into()), ("entities", entities.into())])
            }
            Event::Ended { .. } => object([("kind", "ended".into())]),
            Event::Event { name, value, tick } => {
                let value = self.typed(|schema| &schema.events, &name, &value);
                object([
                    ("kind", "event".into()),
                    ("name", name.into()),
                    ("value", value),
                    ("tick", (tick.0 as f64).into()),
                ])
            }
            Event::EventsLost => warning("events were lost: too many waited"),
            Event::Dropped { kind, name, why } => {
                warning(&format!("{} {name} was dropped: {why}", kind.noun()))
            }
        }
    }

    /// Does an action.
    ///
    /// # Errors
    /// Names the action, the field, the value and the limit.
    pub fn send(&mut self, action: &str, value: &JsValue) -> Result<(), JsValue> {
        let value = read("action", action, value)?;
        self.session.send_action(action, &value).map_err(|e| refused(&e))
    }

    /// Sets a sampled input.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn input(&mut self, now: f64, input: &str, value: &JsValue) -> Result<(), JsValue> {
        let value = read("input", input, value)?;
        self.session.set_input(ms(now), input, &value).map_err(|e| refused(&e))
    }

    /// Gives up the seat.
    pub fn leave(&mut self) {
        self.session.leave();
    }

    /// How the session stands.
    #[must_use]
    pub fn status(&self) -> String {
        self.session.status().name().into()
    }

    /// Why it is closed or without a connection.
    #[must_use]
    pub fn reason(&self) -> JsValue {
        let is_open = self.session.status() == Status::Open;
        let reason = self.session.reason().filter(|_| !is_open);
        reason.map_or(JsValue::NULL, |reason| error(reason.name(), &reason.message))
    }

    /// The player's seat.
    #[must_use]
    pub fn seat(&self) -> Option<u16> {
        self.session.seat().map(|seat| seat.0)
    }

    /// The time to the server and back.
    #[must_use]
    pub fn ping(&self) -> Option<f64> {
        self.session.ping_ms()
    }

    /// The tick of what is read.
    #[must_use]
    pub fn tick(&self) -> f64 {
        self.session.tick().0 as f64
    }

    /// Whether there is something to read.
    #[wasm_bindgen(js_name = hasState)]
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.session.has_state()
    }

    /// The match's result as JSON.
    #[must_use]
    pub fn result(&self) -> Option<String> {
        self.session.result().map(str::to_owned)
    }

    /// The schema. The same object while it is the same schema.
    pub fn schema(&mut self) -> JsValue {
        let (Some(schema), Some(hash)) = (self.session.schema(), self.session.schema_hash()) else {
            return JsValue::NULL;
        };
        match &self.schema {
            Some((known, object)) if *known == hash => object.clone(),
            _ => {
                let object = schema::to_js(self.session.game(), schema);
                self.schema = Some((hash, object.clone()));
                object
            }
        }
    }

    /// Whether there are events of that name.
    ///
    /// # Errors
    /// Names those that there are.
    #[wasm_bindgen(js_name = checkEvent)]
    pub fn check_event(&self, name: &str) -> Result<(), JsValue> {
        self.check(Named::Event, name)
    }

    /// The value of a resource; `undefined` when the room does not show it.
    ///
    /// # Errors
    /// Names those that there are when there is none of that name.
    pub fn get(&self, resource: &str) -> Result<JsValue, JsValue> {
        self.check(Named::Resource, resource)?;
        let value = self.session.resource(resource);
        Ok(value.map_or(JsValue::UNDEFINED, |value| {
            self.typed(|schema| &schema.components, resource, &value)
        }))
    }

    /// The entities that have all of these components.
    ///
    /// # Errors
    /// As [`Self::get`].
    #[expect(clippy::needless_pass_by_value, reason = "JavaScript hands its arrays over")]
    pub fn entities(&self, components: Vec<String>) -> Result<Vec<JsValue>, JsValue> {
        components.iter().try_for_each(|name| self.check(Named::Component, name))?;
        let fits = |entity: &EntityView<'_>| components.iter().all(|name| entity.has(name));
        Ok(self.session.entities().filter(fits).map(entity).collect())
    }

    /// The entity with this id.
    #[must_use]
    pub fn entity(&self, id: u32) -> JsValue {
        self.session.entity(id).map_or(JsValue::UNDEFINED, entity)
    }

    /// The player's own entity.
    #[must_use]
    pub fn me(&self) -> JsValue {
        self.session.me().map_or(JsValue::NULL, entity)
    }

    /// Moves the shown moment to what is due now. Says whether there is something to show.
    pub fn show(&mut self, now: f64) -> bool {
        self.session.show(now).is_some()
    }

    /// As [`Self::tick`], at the shown moment.
    #[wasm_bindgen(js_name = shownTick)]
    #[must_use]
    pub fn shown_tick(&self) -> f64 {
        self.session.shown().map_or(0.0, |shown| shown.tick())
    }

    /// As [`Self::get`], at the shown moment.
    ///
    /// # Errors
    /// As [`Self::get`].
    #[wasm_bindgen(js_name = shownGet)]
    pub fn shown_get(&self, resource: &str) -> Result<JsValue, JsValue> {
        self.check(Named::Resource, resource)?;
        let value = self.session.shown().and_then(|shown| shown.resource(resource));
        Ok(value.map_or(JsValue::UNDEFINED, |value| {
            self.typed(|schema| &schema.components, resource, &value)
        }))
    }

    /// As [`Self::entities`], at the shown moment.
    ///
    /// # Errors
    /// As [`Self::get`].
    #[wasm_bindgen(js_name = shownEntities)]
    #[expect(clippy::needless_pass_by_value, reason = "JavaScript hands its arrays over")]
    pub fn shown_entities(&self, components: Vec<String>) -> Result<Vec<JsValue>, JsValue> {
        components.iter().try_for_each(|name| self.check(Named::Component, name))?;
        let fits = |entity: &ShownEntity<'_>| components.iter().all(|name| entity.has(name));
        let shown = self.session.shown();
        let entities = shown.into_iter().flat_map(|shown| shown.entities());
        Ok(entities.filter(fits).map(shown_entity).collect())
    }

    /// As [`Self::entity`], at the shown moment.
    #[wasm_bindgen(js_name = shownEntity)]
    #[must_use]
    pub fn shown_entity(&self, id: u32) -> JsValue {
        let entity = self.session.shown().and_then(|shown| shown.entity(id));
        entity.map_or(JsValue::UNDEFINED, shown_entity)
    }

    /// As [`Self::me`], at the shown moment.
    #[wasm_bindgen(js_name = shownMe)]
    #[must_use]
    pub fn shown_me(&self) -> JsValue {
        let entity = self.session.shown().and_then(|shown| shown.me());
        entity.map_or(JsValue::NULL, shown_entity)
    }

    /// What was measured.
    #[must_use]
    pub fn metrics(&self) -> JsValue {
        let metrics = self.session.metrics();
        let maybe = |value: Option<f64>| value.map_or(JsValue::NULL, JsValue::from);
        object([
            ("ping", maybe(metrics.round_trip_ms)),
            ("pingMin", maybe(metrics.round_trip_min_ms)),
            ("states", (metrics.states as f64).into()),
            ("jitter", metrics.jitter_ms.into()),
            ("delay", metrics.delay_ms.into()),
            ("inputMargin", maybe(metrics.input_margin.map(f64::from))),
            ("inputMarginSmooth", maybe(metrics.input_margin_smooth)),
            ("inputs", (metrics.inputs as f64).into()),
            ("inputsLate", (metrics.inputs_late as f64).into()),
            ("inputsEarly", (metrics.inputs_early as f64).into()),
            ("inputLead", metrics.input_lead_ms.into()),
        ])
    }
}

impl Core {
    fn check(&self, what: Named, name: &str) -> Result<(), JsValue> {
        self.session.check_name(what, name).map_err(|e| refused(&e))
    }

    /// A value of the type that has this name in a list of the schema.
    fn typed(&self, list: fn(&Schema) -> &[TypeDef], name: &str, value: &Value) -> JsValue {
        let types = self.session.schema().map_or(&[][..], list);
        let def = types.iter().find(|def| def.name == name);
        def.map_or(JsValue::UNDEFINED, |def| to_js(&def.ty, value))
    }
}

fn departed(left: &Departed) -> JsValue {
    object([("id", left.handle.into()), ("gone", left.gone.into())])
}

fn warning(text: &str) -> JsValue {
    object([("kind", "warning".into()), ("text", text.into())])
}

fn read(kind: &str, name: &str, value: &JsValue) -> Result<Value, JsValue> {
    from_js(value)
        .map_err(|FromJsError { problem }| error("bad_value", &format!("{kind} {name}: {problem}")))
}

fn entity(view: EntityView<'_>) -> JsValue {
    with_components(view.id(), view.components())
}

fn shown_entity(view: ShownEntity<'_>) -> JsValue {
    with_components(view.id(), view.components())
}

fn with_components<'a>(id: u32, components: impl Iterator<Item = (&'a TypeDef, Value)>) -> JsValue {
    let components = components.map(|(def, value)| (&def.name[..], to_js(&def.ty, &value)));
    object([("id", JsValue::from(id))].into_iter().chain(components))
}
