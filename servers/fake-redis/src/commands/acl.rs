//! ACL, as far as denying commands goes.

use super::{Call, Error, Outcome, error::echo};

pub fn whoami(call: &mut Call) -> Outcome {
    call.reply().bulk("default");
    Ok(())
}

pub fn set_user(call: &mut Call) -> Outcome {
    if call.words.get(2) != b"default" {
        return Err(Error::text("ERR only the user 'default' exists here"));
    }
    // All modifiers or none.
    let mut permissions = call.state.permissions.clone();
    for modifier in call.words.from(3) {
        let modifier = echo(modifier, usize::MAX);
        permissions
            .apply(&modifier, &call.state.table)
            .map_err(|reason| Error::text(format!("ERR Error in ACL SETUSER modifier '{modifier}': {reason}")))?;
    }
    call.state.permissions = permissions;
    call.reply().ok();
    Ok(())
}

pub fn list(call: &mut Call) -> Outcome {
    let line = format!("user default on nopass ~* &* {}", call.state.permissions.rules());
    let mut reply = call.reply();
    reply.array(1);
    reply.bulk(line);
    Ok(())
}

pub fn get_user(call: &mut Call) -> Outcome {
    let rules = call.state.permissions.rules();
    let known = call.words.get(2) == b"default";
    let mut reply = call.reply();
    if !known {
        reply.null();
        return Ok(());
    }
    reply.map(6);
    reply.bulk("flags");
    reply.set(2);
    reply.bulk("on");
    reply.bulk("nopass");
    reply.bulk("passwords");
    reply.array(0);
    for (name, value) in [("commands", rules.as_str()), ("keys", "~*"), ("channels", "&*")] {
        reply.bulk(name);
        reply.bulk(value);
    }
    reply.bulk("selectors");
    reply.array(0);
    Ok(())
}
