//! Reports in German.

use super::cause::ReportCause;
use super::phrases::{CauseWords, CountedForms, Phrases};

/// What to do about what only the relay's operator can mend.
const OPERATOR: &str = "Das liegt nicht an Ihrer Nachricht: Wenden Sie sich an den Betreiber dieses Relays, und senden Sie sie erneut, \
    sobald es behoben ist.";

pub(super) static PHRASES: Phrases = Phrases {
    tag: "de",
    time: "%d.%m.%Y, %H:%M Uhr (UTC%:z)",
    days: CountedForms { one: "ein Tag", many: "{} Tage" },
    hours: CountedForms { one: "eine Stunde", many: "{} Stunden" },
    minutes: CountedForms { one: "eine Minute", many: "{} Minuten" },
    failed_subject: "Ihre Nachricht konnte nicht zugestellt werden",
    expired_subject: "Ihre Nachricht konnte nicht rechtzeitig zugestellt werden",
    delayed_subject: "Die Zustellung Ihrer Nachricht verzögert sich",
    relayed_subject: "Ihre Nachricht wurde weitergeleitet",
    copy_subject: "Kopie: {}",
    relay: "Hier ist das Mail-Relay {}.",
    copy_of_told: "Dies ist eine Kopie für den Betreiber. Der Bericht selbst ging an {}.",
    copy_of_untold: "Dies ist eine Kopie für den Betreiber. Der Absender erhält keinen Bericht.",
    failed: CountedForms {
        one: "Ihre Nachricht konnte diesem Empfänger nicht zugestellt werden:",
        many: "Ihre Nachricht konnte diesen {} Empfängern nicht zugestellt werden:",
    },
    delayed: CountedForms {
        one: "Ihre Nachricht konnte diesem Empfänger noch nicht zugestellt werden:",
        many: "Ihre Nachricht konnte diesen {} Empfängern noch nicht zugestellt werden:",
    },
    relayed: CountedForms {
        one: "Ihre Nachricht wurde an einen Server weitergeleitet, der die Zustellung nicht bestätigt, für diesen Empfänger:",
        many: "Ihre Nachricht wurde an einen Server weitergeleitet, der die Zustellung nicht bestätigt, für diese {} Empfänger:",
    },
    expired: "Die Frist für die Zustellung ({}) ist abgelaufen; es wird nicht weiter versucht.",
    causes: &CAUSES,
    tried_until: "Sie brauchen nichts zu tun: Die Zustellung wird bis {} weiter versucht. Scheitert sie, erhalten Sie \
        Bescheid.",
    tried_on: "Sie brauchen nichts zu tun: Die Zustellung wird weiter versucht. Scheitert sie, erhalten Sie Bescheid.",
    no_confirmation: "Sie brauchen nichts zu tun. Wann die Nachricht ankommt, wird Ihnen niemand melden.",
    host_said: "Antwort von {}:",
    last_note: "Letzter Vermerk:",
    may_have_arrived: "Sie kann trotzdem angekommen sein: Fragen Sie den Empfänger, bevor Sie sie erneut senden.",
    listed_until: "Die Adresse steht nun auf der Sperrliste dieses Relays: Nachrichten an sie werden bis {} abgewiesen. Ist \
        die Adresse richtig, bitten Sie den Betreiber dieses Relays, sie von der Liste zu nehmen.",
    listed: "Die Adresse steht nun auf der Sperrliste dieses Relays: Nachrichten an sie werden abgewiesen. Ist die Adresse \
        richtig, bitten Sie den Betreiber dieses Relays, sie von der Liste zu nehmen.",
    and_more: "und {} weitere, die im zweiten Teil dieses Berichts stehen.",
    your_message: "Ihre Nachricht:",
    subject: "Betreff:",
    no_subject: "(keiner)",
    accepted: "Angenommen:",
    queue_id: "Kennung:",
    message_attached: "Sie ist angehängt.",
    header_attached: "Ihre Kopfzeilen sind angehängt.",
    no_answers: "Antworten auf diesen Bericht liest niemand.",
};

/// The words for each cause.
static CAUSES: [(ReportCause, CauseWords); 26] = [
    (
        ReportCause::NoSuchMailbox,
        CauseWords {
            what: "Dieses Postfach gibt es nicht.",
            advice: "Prüfen Sie die Adresse, und senden Sie die Nachricht erneut an die richtige.",
        },
    ),
    (
        ReportCause::MailboxClosed,
        CauseWords {
            what: "Dieses Postfach ist geschlossen oder wird nicht mehr benutzt.",
            advice: "Fragen Sie den Empfänger nach einer anderen Adresse.",
        },
    ),
    (
        ReportCause::MailboxFull,
        CauseWords {
            what: "Das Postfach des Empfängers ist voll.",
            advice: "Verständigen Sie ihn auf anderem Weg, und senden Sie die Nachricht später erneut.",
        },
    ),
    (
        ReportCause::TooLarge,
        CauseWords {
            what: "Die Nachricht ist zu groß.",
            advice: "Senden Sie sie mit kleineren Anhängen erneut, oder mit einem Link darauf.",
        },
    ),
    (
        ReportCause::Spam,
        CauseWords {
            what: "Die Nachricht wurde für Spam gehalten.",
            advice: "Bitten Sie den Empfänger auf anderem Weg, Ihre Nachrichten zuzulassen, und zeigen Sie diesen Bericht dem \
             Betreiber dieses Relays.",
        },
    ),
    (
        ReportCause::Dangerous,
        CauseWords {
            what: "Ein Anhang oder Link in der Nachricht ist dort nicht erlaubt oder wurde für gefährlich gehalten.",
            advice: "Senden Sie die Datei in anderer Form, etwa als PDF, oder auf anderem Weg.",
        },
    ),
    (
        ReportCause::Policy,
        CauseWords {
            what: "Eine Regel des anderen Mailservers verbietet die Nachricht.",
            advice: "Vielleicht sagt seine Antwort, welche. Wenn nicht, zeigen Sie diesen Bericht dem Empfänger oder dem Betreiber \
             dieses Relays.",
        },
    ),
    (
        ReportCause::Unproven,
        CauseWords {
            what: "Dem anderen Mailserver fehlt der Nachweis, dass die Nachricht von Ihrer Domain kommt (SPF, DKIM, DMARC).",
            advice: "Zeigen Sie diesen Bericht denen, die Ihre Domain und dieses Relay betreuen: Nur sie können es beheben.",
        },
    ),
    (
        ReportCause::SenderNotAllowed,
        CauseWords {
            what: "Mit dieser Absenderadresse darf die Nachricht nicht gesendet werden.",
            advice: "Senden Sie sie mit Ihrer eigenen Adresse, oder bitten Sie den Betreiber dieses Relays, die Adresse freischalten zu \
             lassen.",
        },
    ),
    (
        ReportCause::BadAddress,
        CauseWords {
            what: "Die Adresse ist nicht so geschrieben, wie eine Adresse sein muss.",
            advice: "Prüfen Sie die Schreibweise, und senden Sie die Nachricht erneut.",
        },
    ),
    (
        ReportCause::NoSuchDomain,
        CauseWords {
            what: "Die Domain (der Teil hinter dem @) existiert nicht oder nimmt keine E-Mails an.",
            advice: "Prüfen Sie die Schreibweise der Adresse, und senden Sie die Nachricht erneut an die richtige.",
        },
    ),
    (
        ReportCause::DomainUnreachable,
        CauseWords {
            what: "Der Mailserver des Empfängers ist nicht erreichbar.",
            advice: "Senden Sie die Nachricht später erneut. Wenn es eilt, verständigen Sie den Empfänger auf anderem Weg.",
        },
    ),
    (
        ReportCause::TooMany,
        CauseWords {
            what: "Eine Grenze ist erreicht: zu viele Nachrichten oder Empfänger auf einmal oder in kurzer Zeit.",
            advice: "Senden Sie die Nachricht später erneut, oder an weniger Empfänger. Geschieht das oft, fragen Sie den Betreiber \
             dieses Relays.",
        },
    ),
    (
        ReportCause::RelayLogin,
        CauseWords {
            what: "Dieses Relay konnte sich bei seinem Mailanbieter nicht anmelden.",
            advice: OPERATOR,
        },
    ),
    (
        ReportCause::RelayStopped,
        CauseWords {
            what: "Der Mailanbieter lässt das Konto dieses Relays zurzeit nicht senden.",
            advice: OPERATOR,
        },
    ),
    (
        ReportCause::RelayRefused,
        CauseWords {
            what: "Der andere Mailserver nimmt von diesem Relay keine Nachrichten an.",
            advice: OPERATOR,
        },
    ),
    (
        ReportCause::RelayOffline,
        CauseWords { what: "Dieses Relay konnte seinen Mailanbieter nicht erreichen.", advice: OPERATOR },
    ),
    (
        ReportCause::NoTls,
        CauseWords {
            what: "Es kam keine ausreichend verschlüsselte Verbindung zustande.", advice: OPERATOR
        },
    ),
    (
        ReportCause::Blacklisted,
        CauseWords {
            what: "Diese Adresse steht auf der Sperrliste dieses Relays; an sie wird nichts gesendet.",
            advice: "Ist die Adresse richtig, bitten Sie den Betreiber dieses Relays, sie von der Liste zu nehmen.",
        },
    ),
    (
        ReportCause::International,
        CauseWords {
            what: "Der nächste Mailserver nimmt keine Adressen mit Buchstaben wie ü oder ñ an.",
            advice: "Senden Sie die Nachricht an eine Adresse ohne solche Buchstaben, wenn der Empfänger eine hat.",
        },
    ),
    (
        ReportCause::Form,
        CauseWords {
            what: "Der nächste Mailserver nimmt die Nachricht in dieser Form nicht an.",
            advice: "Senden Sie sie in anderer Form, etwa mit dem Text als Anhang.",
        },
    ),
    (
        ReportCause::Malformed,
        CauseWords {
            what: "Die Nachricht ist nicht so aufgebaut, wie eine E-Mail sein muss.",
            advice: "Zeigen Sie diesen Bericht denen, die das Programm betreuen, das sie erzeugt hat.",
        },
    ),
    (
        ReportCause::BrokenOff,
        CauseWords {
            what: "Die Verbindung zum nächsten Mailserver brach ab, während die Nachricht gesendet wurde.",
            advice: "Senden Sie sie später erneut. Scheitert auch das, fragen Sie den Betreiber dieses Relays.",
        },
    ),
    (
        ReportCause::Busy,
        CauseWords {
            what: "Der andere Mailserver bat darum, es später noch einmal zu versuchen.",
            advice: "Senden Sie die Nachricht später erneut. Scheitert auch das, zeigen Sie diesen Bericht dem Empfänger.",
        },
    ),
    (
        ReportCause::Untried,
        CauseWords { what: "Dieses Relay hatte keinen Weg, sie zu senden.", advice: OPERATOR },
    ),
    (
        ReportCause::Other,
        CauseWords {
            what: "Der andere Mailserver hat die Nachricht nicht angenommen.",
            advice: "Vielleicht sagt seine Antwort, warum. Wenn nicht, zeigen Sie diesen Bericht dem Betreiber dieses Relays.",
        },
    ),
];
